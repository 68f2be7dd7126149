//! Shell scripts that drills run in containers. They use builtins of a POSIX shell alone, because nobody knows what else an image has; `sleep`
//! only spares time. What they start ends by itself, by the clock of the kernel.

/// Prints each process: pid, parent, uid, signals that are blocked, ignored and caught, whether it is of this container, whether it is this
/// shell, state and name.
pub(crate) const PROCESSES: &str = r#"all() { t=; while read -r l; do t=$t$l; done <$1; }
all /proc/self/cgroup; own=$t
for p in /proc/[0-9]*; do
  all $p/cgroup; mine=0; [ "$t" = "$own" ] && mine=1
  me=0; [ ${p#/proc/} = $$ ] && me=1
  name= state=Z parent=0 uid=0 blk=0 ign=0 cgt=0
  while read -r k v r; do case $k in
    Name:) name=$v;; State:) state=$v;; PPid:) parent=$v;; Uid:) uid=${r%%[!0-9]*};;
    SigBlk:) blk=$v;; SigIgn:) ign=$v;; SigCgt:) cgt=$v;; esac; done <$p/status
  echo "${p#/proc/} $parent $uid $blk $ign $cgt $mine $me $state $name"
done 2>/dev/null"#;

/// Kills processes by force: 1 where the end of these children has to end process 1, else 0, then pairs of pid and name. One that has another
/// name by now is another process. Where process 1 has other children three seconds later, it ends with `GOES_ON`.
pub(crate) const KILL: &str = r#"ends=$1; shift
while [ $# -gt 1 ]; do read -r k v </proc/$1/status; [ "$v" = "$2" ] && kill -KILL $1; shift 2; done
[ $ends = 1 ] || exit 0
read -r u r </proc/uptime; end=$((${u%%.*}+4))
while read -r u r </proc/uptime && [ ${u%%.*} -lt $end ]; do sleep 1 2>/dev/null; done
for p in /proc/[0-9]*; do
  parent= state=
  while read -r k v r; do case $k in State:) state=$v;; PPid:) parent=$v;; esac; done <$p/status
  [ "$parent" = 1 ] && [ "$state" != Z ] && exit 75
done 2>/dev/null
exit 0"#;

/// The exit code of `KILL` where process 1 goes on.
pub(crate) const GOES_ON: u8 = 75;

/// Sends signals to process 1, one every ten seconds. Its end ends this shell too.
pub(crate) const SIGNAL: &str = r#"for s in "$@"; do
  kill -$s 1; read -r u r </proc/uptime; end=$((${u%%.*}+10))
  while read -r u r </proc/uptime && [ ${u%%.*} -lt $end ]; do sleep 1 2>/dev/null; done
done"#;

/// Prints what the control group of the container counts, of either version, and how many KiB of memory the node has left.
pub(crate) const COUNTERS: &str = r#"while read -r k v r; do [ "$k" = MemAvailable: ] && echo "available $v"; done </proc/meminfo
cd /sys/fs/cgroup || exit 0
for f in memory.events memory/memory.oom_control cpu.stat cpu/cpu.stat; do
  [ -r $f ] && while read -r k v; do echo "$k $v"; done <$f
done
f=cpuacct/cpuacct.usage; [ -r $f ] && read -r v <$f && echo "usage_nsec $v"
:"#;

/// Keeps CPUs busy: seconds, processes. `MARK` is put before it.
pub(crate) const BURN: &str = r#"read -r u r </proc/uptime; end=$((${u%%.*}+$1)); n=0; pids=
trap 'kill $pids; wait; exit' TERM
while [ $n -lt $2 ]; do
  ( while read -r u r </proc/uptime && [ ${u%%.*} -lt $end ]; do :; done ) &
  pids="$pids $!"; n=$((n+1))
done
wait"#;

/// Fills memory: seconds, pieces of 16 MiB. What is killed for it is begun again after a second. `MARK` is put before it.
pub(crate) const FILL: &str = r#"read -r u r </proc/uptime; end=$((${u%%.*}+$1))
over() { read -r u r </proc/uptime; [ ${u%%.*} -ge $end ]; }
trap exit TERM
until over; do
  ( trap exit TERM; a=x; i=0
    while [ $i -lt 24 ]; do a=$a$a; i=$((i+1)); done
    i=0; while [ $i -lt $2 ]; do over && exit; eval "m$i=\$a"; i=$((i+1)); done
    until over; do sleep 1 2>/dev/null; done )
  sleep 1 2>/dev/null
done"#;

/// Ends every process that has a mark, and waits until none is left.
pub(crate) const STOP: &str = r#"n=0
while [ $n -lt 40 ]; do
  left=; s=TERM; [ $n -ge 20 ] && s=KILL
  for p in /proc/[0-9]*; do
    [ ${p#/proc/} = $$ ] && continue
    c=; read -r c <$p/cmdline
    case $c in *"$1"*) left=1; kill -$s ${p#/proc/};; esac
  done 2>/dev/null
  [ -z "$left" ] && exit 0
  n=$((n+1)); sleep 0.2 2>/dev/null || sleep 1 2>/dev/null
done
exit 1"#;

/// The first line of a script that can be found by it among processes.
pub(crate) fn mark(id: &str) -> String {
    format!(": podlife-drill-{id};")
}

/// A command that runs a script in a shell.
pub(crate) fn sh(script: &str, arguments: &[&str]) -> Vec<String> {
    let words = ["sh", "-c", script, "sh"];
    words.iter().chain(arguments).map(|word| (*word).to_owned()).collect()
}
