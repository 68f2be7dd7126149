# Asks again and again what its arguments say, each time on a new connection, and prints a line for each answer:
#   podlife NONCE up HTTP-TOOL CONNECT-TOOL
# One question after the other:
#   podlife NONCE ROUND begin
#   podlife NONCE ROUND QUESTION OUTCOME [BODY IN BASE64]
# At an interval, whatever becomes of the questions before, with times in hundredths of a second of the kernel's clock:
#   podlife NONCE sample QUESTION BEGUN TOOK OUTCOME
# Arguments: NONCE, 1 where bodies are wanted, hundredths of a second of the interval or 0, then for each question KIND (http, https or connect), HOST, PORT, PATH, HOST-HEADER, and how many
# SECONDS an answer may take.
# It runs in whatever shell and tools an image has, as nobody, with one folder that can be written to.
nonce=$1 body=$2 every=$3
shift 3
trap 'exit 0' TERM INT
cd /scratch || exit 70
has() { command -v "$1" >/dev/null 2>&1; }
limited() { # SECONDS COMMAND…
  if has timeout; then timeout "$@"; else shift && "$@"; fi
}
http= connect=
for tool in curl wget nc; do has "$tool" && http=$tool && break; done
for tool in curl nc; do has "$tool" && connect=$tool && break; done
case $connect in
nc) case $(nc -h 2>&1 </dev/null) in
  *'-z'*) scan=z ;;
  *'-e PROG'*) scan=e ;;
  *) scan= ;;
  esac ;;
esac

failure() { # of the exit code and what was said, where there is no status
  case $1 in 124 | 137 | 143) outcome=timeout && return ;; esac
  case $(cat said) in
  *refused*) outcome=refused ;;
  *'bad address'* | *resolve* | *'not known'* | *'not found'*) outcome=unresolved ;;
  *'timed out'* | *timeout*) outcome=timeout ;;
  *TLS* | *tls* | *SSL* | *ssl* | *certificate*) outcome=tls ;;
  *unreachable* | *'No route'*) outcome=timeout ;;
  *) outcome=closed ;;
  esac
}

by_curl() { # URL HOST-HEADER
  url=$1 name=$2
  set -- -s -S -k -m "$limit" --noproxy '*'
  [ -z "$name" ] || set -- "$@" -H "Host: $name"
  { curl "$@" -w '%{stderr}\nstatus %{http_code}\n' "$url" 2>said; echo $? >code; } | head -c 16384 >answer
  status=$(sed -n 's/^status //p' said | tail -n 1)
  case $status in
  '' | 000) ;;
  *) outcome=$status && return ;;
  esac
  case $(cat code) in
  6) outcome=unresolved ;;
  7) failure 0 && case $outcome in closed) outcome=refused ;; esac ;;
  28) outcome=timeout ;;
  35 | 51 | 53 | 58 | 59 | 60 | 77) outcome=tls ;;
  *) outcome=closed ;;
  esac
}

by_wget() { # URL HOST-HEADER
  url=$1 name=$2
  set -- -q -S -O -
  [ -z "$name" ] || set -- "$@" --header "Host: $name"
  case $url in https:*) set -- "$@" --no-check-certificate ;; esac
  { limited "$limit" wget "$@" "$url" 2>said; echo $? >code; } | head -c 16384 >answer
  outcome=$(sed -n 's/^.*HTTP\/[0-9.]* \([0-9][0-9][0-9]\).*$/\1/p' said | head -n 1)
  [ -n "$outcome" ] || failure "$(cat code)"
}

by_nc() { # HOST PORT PATH HOST-HEADER
  name=${4:-$1}
  {
    printf 'GET %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: kubectl-podlife\r\nConnection: close\r\n\r\n' "$3" "$name" |
      limited $((limit + 1)) nc -w "$limit" "$1" "$2" 2>said
    echo $? >code
  } | head -c 16384 >answer
  outcome=$(sed -n '1s/^HTTP\/[0-9.]* \([0-9][0-9][0-9]\).*$/\1/p' answer)
  [ -n "$outcome" ] || { [ -s answer ] && outcome=closed; } || failure "$(cat code)"
  sed -i '1,/^.\{0,1\}$/d' answer # the headers, up to an empty line that may end in a carriage return
}

connects() { # HOST PORT
  : >said
  case $connect$scan in
  curl)
    connected=$(curl -s -S -m "$limit" -o /dev/null -w '%{time_connect}' "telnet://$1:$2" 2>said </dev/null)
    code=$?
    case $connected in
    *[1-9]*) outcome=accepted && return ;;
    esac
    case $code in 6) outcome=unresolved ;; 7) outcome=refused ;; *) outcome=timeout ;; esac
    ;;
  ncz) limited $((limit + 1)) nc -z -w "$limit" "$1" "$2" >/dev/null 2>said </dev/null && outcome=accepted || failure $? ;;
  nce) limited $((limit + 1)) nc -w "$limit" "$1" "$2" -e true >/dev/null 2>said </dev/null && outcome=accepted || failure $? ;;
  nc) # It stays until the other side closes, which may never be.
    limited $((limit + 1)) nc -w "$limit" "$1" "$2" >/dev/null 2>said </dev/null
    code=$?
    case $code in 0 | 124 | 143) outcome=accepted ;; *) failure "$code" ;; esac
    ;;
  *) outcome=no-tool ;;
  esac
}

ask() { # QUESTION KIND HOST PORT PATH HOST-HEADER SECONDS
  limit=$7
  : >answer
  case $2 in
  connect) connects "$3" "$4" ;;
  *)
    case $http in
    curl | wget) "by_$http" "$2://$3:$4$5" "$6" ;;
    nc) case $2 in http) by_nc "$3" "$4" "$5" "$6" ;; *) outcome=no-tool ;; esac ;;
    *) outcome=no-tool ;;
    esac
    ;;
  esac
}

echo "podlife $nonce up ${http:-none} ${connect:-none}"
round=0
ask_all() {
  round=$((round + 1))
  echo "podlife $nonce $round begin"
  question=0
  while [ $# -ge 6 ]; do
    ask "$question" "$1" "$2" "$3" "$4" "$5" "$6"
    encoded=
    if [ "$body" = 1 ]; then encoded=$(base64 <answer | tr -d '\n'); fi
    echo "podlife $nonce $round $question $outcome $encoded"
    question=$((question + 1))
    shift 6
  done
}

now() { read -r up rest </proc/uptime && up=${up%.*}${up#*.}; }
sample() { # SLOT QUESTION KIND HOST PORT PATH HOST-HEADER SECONDS
  cd "$1" || exit
  shift
  now && begun=$up
  ask "$@"
  now && echo "podlife $nonce sample $1 $begun $((up - begun)) $outcome"
  rm -f busy
}
# Each question that is under way has a folder of its own.
slots=50 slot=0
begin_all() {
  question=0
  while [ $# -ge 6 ]; do
    [ -d "$slot" ] || mkdir "$slot"
    while [ -e "$slot/busy" ]; do sleep 0.05 2>/dev/null || sleep 1; done
    : >"$slot/busy"
    # Nobody waits for it, not even in a list of jobs.
    (sample "$slot" "$question" "$1" "$2" "$3" "$4" "$5" "$6" &)
    slot=$(((slot + 1) % slots)) question=$((question + 1))
    shift 6
  done
}

if [ "$every" = 0 ]; then
  while :; do
    ask_all "$@"
    sleep 0.2 2>/dev/null || sleep 1
  done
fi
now && due=$up
while :; do
  begin_all "$@"
  due=$((due + every))
  now && left=$((due - up))
  [ "$left" -gt 0 ] || continue
  part=$((left % 100))
  [ "$part" -ge 10 ] || part=0$part
  sleep "$((left / 100)).$part" 2>/dev/null || sleep 1
done
