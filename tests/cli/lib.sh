# Shared by the command-line tests: a scratch directory, a small generated data set, quiet commands that show their
# output when they fail. Sourced with HEDDLE and SOURCE set.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
XDG_CACHE_HOME=${XDG_CACHE_HOME:-$work/cache}
export XDG_CACHE_HOME
quiet() { "$@" >"$work/log" 2>&1 || { echo "failed ($?): $*"; cat "$work/log"; exit 1; }; }
# Expects exit code $1 and a message on standard error that contains $2; the rest is the command.
refuses() {
  code=$1 text=$2
  shift 2
  status=0
  "$@" >"$work/out" 2>"$work/err" || status=$?
  if [ "$status" -ne "$code" ]; then
    echo "expected exit $code, got $status: $*"; cat "$work/err"; exit 1
  fi
  grep -qF -- "$text" "$work/err" || { echo "expected '$text' from: $*"; cat "$work/err"; exit 1; }
}
same() { cmp -s "$1" "$2" || { echo "differ: $1 $2"; exit 1; }; }
small="-D negatives=8 -D D=8 -D E=8 -D F=8 -D G=8 -D N=40 -D T.max=30"
shop() { quiet "$HEDDLE" data synth sequence --out "$work/shop" --users 120 --items 60 --mean-length 15 --seed 3; }
fuxi=$SOURCE/models/sequential/fuxi_alpha.heddle
