#!/bin/sh
# Applies manifests and waits until the application really works. Rolls back what this run has changed if it does not.
#
#   NAMESPACE=shop examples/pipelines/deploy.sh MANIFESTS deployment/api
#
# TIMEOUT (5m) is how long it may take, JUNIT (ready.xml) the file for the test report. The exit code is that of wait-ready, or 1 if the manifests
# could not be applied. The last line says how it ended.
set -eu
manifests=$1 target=$2 junit=${JUNIT:-ready.xml}

# If an apply does not change the pod template, there is no new revision to roll back.
template() { kubectl get "$target" -n "$NAMESPACE" --ignore-not-found -o 'jsonpath={.spec.template}'; }
ready() { kubectl podlife wait-ready "$target" -n "$NAMESPACE" --timeout "${TIMEOUT:-5m}" "$@"; }
failed() { # EXIT_CODE WHY
  echo "DEPLOY FAILED  $target -n $NAMESPACE: $2" >&2
  exit "$1"
}

rm -f "$junit"
before=$(template) || failed 1 "$target could not be read, nothing was applied"
applied=$(kubectl apply -n "$NAMESPACE" -f "$manifests") && code=0 || code=$?
echo "$applied"
[ "$code" = 0 ] || failed 1 "kubectl apply ended with exit code $code, nothing was rolled back"

ready --junit "$junit" || code=$?
left=$(echo "$applied" | grep -v ' unchanged$') || left=
case $code in
  0) exit 0 ;;
  3 | 124) # It will not become ready, or not in time: wait-ready has printed the reason.
    if ! now=$(template); then
      ended="it could not be read again, nothing was rolled back"
    elif [ "$now" = "$before" ]; then
      ended="this run has not changed its pods, nothing was rolled back"
    elif ! kubectl rollout undo "$target" -n "$NAMESPACE"; then
      ended="it could not be rolled back and stays as it is"
    else
      left=$(echo "$left" | grep -v "^$(kubectl get "$target" -n "$NAMESPACE" -o name) ") || left=
      ended="rolled back, and the revision before is ready again"
      ready || ended="rolled back, but the revision before is not ready either"
    fi
    ;;
  *) ended="whether it is ready could not be told, nothing was rolled back" ;;
esac
[ -z "$left" ] || echo "$left" | sed 's/^/not undone: /' >&2
failed "$code" "wait-ready ended with exit code $code; $ended"
