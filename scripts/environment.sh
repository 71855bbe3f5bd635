# Sourced by the other scripts: makes the virtual environment .venv of this checkout and enters it.
PYTHON=${PYTHON:-python3}
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "jaxicm needs Python 3.11 or newer; name one with PYTHON=python3.12" >&2
  exit 1
}
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
. .venv/bin/activate
# The stamp names the file that lists what to install, so that a second run starts at once.
stamp=.venv/.installed-$1-$(cksum <pyproject.toml | cut -d ' ' -f 1)
if [ ! -e "$stamp" ]; then
  python -m pip install --quiet --disable-pip-version-check --editable "$2"
  touch "$stamp"
fi
