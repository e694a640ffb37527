# What the programs in tests/ need: Debian packages for $SUITES (lines of packages.txt, or "all") and a virtual
# environment in .venv. Sourced; sets $PYTHON. Fast when there is nothing to do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() { printf '%s: %s\n' "$(basename "$0")" "$1" >&2; exit 1; }

SYSTEM_PYTHON=${SYSTEM_PYTHON:-/usr/bin/python3}
missing=()
"$SYSTEM_PYTHON" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
while IFS=: read -r suite packages; do
  case " ${SUITES:-} " in *" $suite "* | " all ") ;; *) continue ;; esac
  for package in $packages; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
done < <(grep -v '^#' tests/packages.txt)
if ((${#missing[@]})); then
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
  command -v apt-get >/dev/null || die "needs the Debian packages ${missing[*]}, and this machine has no apt-get"
  [ "$(id -u)" = 0 ] || die "needs the Debian packages ${missing[*]}: install them, or run this as root"
  echo "installing ${missing[*]}"
  log=$(mktemp)
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; die "apt-get could not install them (the end of its output is above)"; }
  rm -f "$log"
fi

"$SYSTEM_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  die "needs Python 3.11 or later, and $SYSTEM_PYTHON is $("$SYSTEM_PYTHON" -V)"
PYTHON=$PWD/.venv/bin/python
stamp=$(cat pyproject.toml tests/constraints.txt | sha256sum)
if [ "$(cat .venv/stamp 2>/dev/null)" != "$stamp" ]; then
  echo "building the virtual environment .venv"
  [ ! -L .venv ] || rm .venv # --clear would empty what it leads to
  "$SYSTEM_PYTHON" -m venv --clear .venv
  PIP_CONSTRAINT=$PWD/tests/constraints.txt .venv/bin/pip install --quiet --disable-pip-version-check -e '.[test]' 2> >(grep -v '^WARNING: Location' >&2)
  printf "%s\n" "$stamp" >.venv/stamp
fi
