#!/bin/sh
# Starts print_launch under a real launcher and compares what the ranks found.
#   launchers.sh openmpi|mpich PROGRAM
# Exit status 77: the launcher is not installed.
set -u
launcher=$1
program=$2
ranks=3

skip() { echo "skipped: $1 is not installed"; exit 77; }
fault() { echo "$1"; echo "$output"; exit 1; }

# What follows is run by each rank; a launcher of Slurm around this test would be the outer one, and must not win.
SLURM_JOB_ID=7 SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_NTASKS=1 SLURM_STEP_NUM_TASKS=1
export SLURM_JOB_ID SLURM_STEP_ID SLURM_PROCID SLURM_NTASKS SLURM_STEP_NUM_TASKS
unset KOLO_RANK KOLO_SIZE KOLO_PEERS KOLO_RUN_ID KOLO_PORT KOLO_LAUNCHER RANK WORLD_SIZE LOCAL_RANK

start() {
    case $launcher in
    openmpi)
        root=
        test "$(id -u)" = 0 && root=--allow-run-as-root
        # The made-up variables of Slurm above are no allocation.
        OMPI_MCA_ras=^slurm OMPI_MCA_plm=isolated mpirun.openmpi $root --oversubscribe -n $ranks "$@" 2>&1
        ;;
    mpich)
        mpiexec.hydra -rmk user -launcher fork -n $ranks "$@" 2>&1
        ;;
    esac
}

case $launcher in
openmpi) command -v mpirun.openmpi >/dev/null || skip mpirun.openmpi; name="Open MPI" ;;
mpich) command -v mpiexec.hydra >/dev/null || skip mpiexec.hydra; name=MPICH ;;
*) echo "unknown launcher $launcher"; exit 2 ;;
esac

check() {
    # A launcher itself may fail to start on a crowded machine, with no word of why; what it starts is what is tested.
    output=$(start "$@") || output=$(start "$@") || output=$(start "$@") || fault "the launcher failed three times"
    output=$(echo "$output" | grep "^$name rank ") || fault "no rank found its launcher"
    for rank in $(seq 0 $((ranks - 1))); do
        echo "$output" | grep -q "^$name rank $rank size $ranks local $rank run " || fault "rank $rank is missing"
    done
    runs=$(echo "$output" | sed 's/.* run \([^ ]*\) .*/\1/' | sort -u | wc -l)
    test "$runs" = 1 || fault "the ranks do not agree on the run id"
    contacts=$(echo "$output" | sed 's/.* contact //' | sort -u)
    test "$(echo "$contacts" | wc -l)" = 1 || fault "the ranks do not agree on the contact"
    port=${contacts##*:}
    test "$contacts" = "127.0.0.1:$port" || fault "the contact is not this host"
    test "$port" -ge 20000 && test "$port" -le 31999 || fault "port $port is out of range"
    echo "$output" | grep -q "rank 0 .* port $port contact" || fault "rank 0 does not take the contact's port"
    test "$(echo "$output" | grep -c " port 0 contact")" = $((ranks - 1)) || fault "another rank takes a port"
    echo "$output"
}

check "$program"
first=$(echo "$output" | head -n 1 | sed 's/.* run \([^ ]*\) .*/\1/')

# Behind wrappers, too; and another job has another id.
check sh -c '"$0"; true' "$program"
echo "$output" | grep -q " run $first " && fault "two jobs have the same id"
exit 0
