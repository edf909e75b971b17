#!/bin/sh
# May this job start? Asks suanquan what the vouchers of its account pay, before the job starts.
#
# Install on the controller (needs curl and scontrol), then in slurm.conf:   PrologSlurmctld=/etc/suanquan/suanquan-prolog.sh
# A non-zero end makes slurmctld requeue a batch job and cancel an interactive one; why is in the system log.
# Settings in /etc/suanquan/prolog.conf, lines of NAME=VALUE for sh, owned by root:
#   SUANQUAN_URL=https://suanquan.example.cn       the service
#   SUANQUAN_CENTRE=sj01
#   SUANQUAN_TOKEN_FILE=/etc/suanquan/token        what `suanquan centre token sj01` printed; mode 0600, of the user slurm
#   SUANQUAN_ON_FAILURE=allow                      no answer, or none that can be understood: allow (default) or refuse
#   SUANQUAN_NEED=full                             what the vouchers must pay: full (default), some, none (only logs)
#   SUANQUAN_MODEL=A100                            model of GPUs without a type; no default: the failure rule decides
#   SUANQUAN_HOURS=1                               length of a job without a limit
#   SUANQUAN_TIMEOUT_S=2
#   SUANQUAN_CA_FILE=                              CA of the service, where it is not the system's
#   SUANQUAN_ON_REFUSAL=                           a command run when a job is refused, with its id: "scontrol requeuehold"
# A job without GPUs starts without being asked about.

# Slurm waits for it: words are taken apart by the shell itself, for every program it would start takes a millisecond or more.
set -fu
newline='
'
conf=${SUANQUAN_PROLOG_CONF:-/etc/suanquan/prolog.conf}
if [ -r "$conf" ] && sh -n "$conf" 2>/dev/null; then . "$conf"; fi
job=${SLURM_JOB_ID:-?} account=${SLURM_JOB_ACCOUNT:-}

say() {
  printf 'suanquan: job %s: %s\n' "$job" "$*" >&2
  if command -v logger >/dev/null 2>&1; then logger -t suanquan -- "job $job: $*" 2>/dev/null; fi
  return 0
}

# No answer is not a refusal: the setting decides, by default the job starts.
failed() {
  case ${SUANQUAN_ON_FAILURE:-allow} in
    refuse) say "$* - refused (SUANQUAN_ON_FAILURE=refuse)"; refuse ;;
    *) say "$* - allowed (SUANQUAN_ON_FAILURE=allow)"; exit 0 ;;
  esac
}

refuse() {
  if [ -n "${SUANQUAN_ON_REFUSAL:-}" ]; then $SUANQUAN_ON_REFUSAL "$job" >/dev/null 2>&1 || say "$SUANQUAN_ON_REFUSAL failed"; fi
  exit 1
}

# GPUs of the job as words MODEL:COUNT. Slurm prints typed and untyped counts of the same cards: the typed ones count, if any.
gpus_of() {
  typed='' untyped='' separators=$IFS
  IFS=,
  for entry in $1; do
    case $entry in
      gres/gpu:*=*) entry=${entry#gres/gpu:}; typed="$typed ${entry%%=*}:${entry#*=}" ;;
      gres/gpu=*) untyped="$untyped :${entry#*=}" ;;
    esac
  done
  IFS=$separators
  gpus=${typed:-$untyped}
}

# Seconds of [D-]HH:MM:SS; nothing where it is no time.
seconds_of() {
  seconds='' days=0 rest=$1
  case $1 in *-*) days=${1%%-*} rest=${1#*-} ;; esac
  case $rest in *:*:*:* | *::* | :* | *:) return 0 ;; *:*:*) ;; *) return 0 ;; esac
  hours=${rest%%:*}
  rest=${rest#*:}
  case $days$hours${rest%:*}${rest#*:} in *[!0-9]*) return 0 ;; esac
  for part in "$days" "$hours" "${rest%:*}" "${rest#*:}"; do
    while [ "${part#0}" != "$part" ] && [ -n "${part#0}" ]; do part=${part#0}; done
    seconds="$seconds $part"
  done
  set -- $seconds
  seconds=$(($1 * 86400 + $2 * 3600 + $3 * 60 + $4))
}

shown='' tres='' limit=''
if command -v scontrol >/dev/null 2>&1; then shown=$(scontrol -o show job "$job" 2>/dev/null) || shown=''; fi
for word in $shown; do
  case $word in
    AllocTRES=* | TRES=*) [ -n "$tres" ] || tres=${word#*=} ;;
    TimeLimit=*) limit=${word#*=} ;;
    Account=*) [ -n "$account" ] || account=${word#*=} ;;
  esac
done
gpus_of "$tres"
if [ -z "${gpus# }" ] && [ -z "$tres" ] && [ -n "${SLURM_JOB_GPUS:-}" ]; then
  separators=$IFS
  IFS=,
  set -- $SLURM_JOB_GPUS
  IFS=$separators
  gpus=":$(($# * ${SLURM_JOB_NUM_NODES:-1}))"
fi
case $gpus in *[0-9]*) ;; *)
  [ -n "$tres" ] || [ -n "$shown" ] && exit 0
  [ -z "${SLURM_JOB_GPUS:-}" ] && [ -n "${SLURM_JOB_ID:-}" ] && ! command -v scontrol >/dev/null 2>&1 && exit 0
  failed "what the job holds is not known" ;;
esac

# How long it may run: by Slurm's own times (23.02 and newer), else by the limit [D-]HH:MM:SS, else as set.
if [ -n "${SLURM_JOB_END_TIME:-}" ] && [ -n "${SLURM_JOB_START_TIME:-}" ]; then
  seconds=$((SLURM_JOB_END_TIME - SLURM_JOB_START_TIME))
else
  seconds_of "$limit"
fi
case $seconds in '' | *[!0-9]* | 0) lasting="hours=${SUANQUAN_HOURS:-1}" ;; *) lasting="seconds=$seconds" ;; esac

for name in SUANQUAN_URL SUANQUAN_CENTRE SUANQUAN_TOKEN_FILE; do
  eval "value=\${$name:-}"
  [ -n "$value" ] || failed "$name is not set in $conf"
done
[ -n "$account" ] || failed "the job has no account"
[ -r "$SUANQUAN_TOKEN_FILE" ] || failed "cannot read $SUANQUAN_TOKEN_FILE"

set -- --silent --show-error --max-time "${SUANQUAN_TIMEOUT_S:-2}" --get --header 'Accept: text/plain' --write-out '\n%{http_code}'
[ -n "${SUANQUAN_CA_FILE:-}" ] && set -- "$@" --cacert "$SUANQUAN_CA_FILE"
for word in $gpus; do
  model=${word%:*}
  [ -n "$model" ] || model=${SUANQUAN_MODEL:-}
  [ -n "$model" ] || failed "the GPUs have no type and SUANQUAN_MODEL is not set"
  set -- "$@" --data-urlencode "model=$model" --data-urlencode "cards=${word##*:}"
done
set -- "$@" --data-urlencode "account=$account" --data-urlencode "$lasting" --data-urlencode "need=${SUANQUAN_NEED:-full}"

read -r token <"$SUANQUAN_TOKEN_FILE" || [ -n "$token" ] || failed "there is no token in $SUANQUAN_TOKEN_FILE"

# The token goes to curl on its standard input, so that no list of processes shows it.
answer=$(printf 'header = "Authorization: Bearer %s"\n' "$token" |
  curl --config - "$@" "$SUANQUAN_URL/v1/advice/$SUANQUAN_CENTRE" 2>&1) ||
  failed "no answer from $SUANQUAN_URL: $(printf '%s' "$answer" | head -n 1)"
status=${answer##*"$newline"} words=${answer%"$newline"*}
[ "$status" = 200 ] || failed "HTTP $status: $(printf '%s' "$words" | head -c 300)"
case $words in
  allow*)
    while [ "${words#*"$newline"}" != "$words" ]; do
      words=${words#*"$newline"}
      line=${words%%"$newline"*}
      [ -z "$line" ] || say "$line"
    done
    exit 0
    ;;
  refuse*) say "$(printf '%s\n' "$words" | tr '\n' ' ')"; refuse ;;
  *) failed "an answer that cannot be understood" ;;
esac
