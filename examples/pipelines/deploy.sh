#!/bin/sh
# Applies manifests and waits until what they change really works; goes back to the revision before where it will not.
#
#   NAMESPACE=shop examples/pipelines/deploy.sh MANIFESTS deployment/api
#
# TIMEOUT (5m) is how long it may take, JUNIT (ready.xml) the file for the test report. The exit code is that of wait-ready.
set -eu
manifests=$1 target=$2
kubectl apply -n "$NAMESPACE" -f "$manifests"
code=0
kubectl podlife wait-ready "$target" -n "$NAMESPACE" --timeout "${TIMEOUT:-5m}" --junit "${JUNIT:-ready.xml}" || code=$?
case $code in
  0) ;;
  3 | 124) # It will not become ready, or not in time: the reason has been printed.
    if kubectl rollout undo "$target" -n "$NAMESPACE"; then
      kubectl podlife wait-ready "$target" -n "$NAMESPACE" --timeout "${TIMEOUT:-5m}" || echo "the revision before is not ready either" >&2
    else
      echo "there is no revision to go back to: $target stays as it is" >&2
    fi
    ;;
  *) echo "whether $target is ready could not be told (exit code $code): nothing was rolled back" >&2 ;;
esac
exit "$code"
