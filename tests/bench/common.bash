# What the benches share; they source it from the root of the project.

# shellcheck disable=SC2034 # for those who source this
podlife=${PODLIFE:-}
if [ -z "$podlife" ]; then
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/podlife-test/target}
  cargo build --release --locked --quiet
  podlife=$CARGO_TARGET_DIR/release/kubectl-podlife
fi

missed=
bar() { # WHAT CONDITION…: says whether a bar is met, and notes in `missed` if not
  local what=$1
  shift
  if "$@"; then echo "met     $what"; else echo "missed  $what"; missed=1; fi
}
