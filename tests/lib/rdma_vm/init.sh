#!/bin/sh
# Process 1 of a guest of rdma-vm, run by busybox. The kernel hands it the words VM_NAME=VALUE of its command line as environment
# variables. Mounts the host's files, brings up the LAN and the RDMA device, runs the command when all guests are there.
# shellcheck disable=SC1091,SC2154,SC3045
export PATH=/bin
b() { busybox "$@"; }

share() { # TAG DIRECTORY OPTIONS
    b mount -t 9p -o "trans=virtio,version=9p2000.L,msize=262144,$3" "$1" "$2"
}

uptime() { read -r up _ </proc/uptime && echo "$up"; }

finish() { # STATUS
    echo "$1" >/tree/run/rdma-vm/rc."$VM_INDEX"
    echo "$ready $(uptime)" >/tree/run/rdma-vm/uptime."$VM_INDEX"
    b stty -F /dev/ttyS1 raw # this waits until all output is out
    b sync
    b reboot -f
}

# within TRIES COMMAND...: until it succeeds, every 5 ms.
within() {
    tries=$1
    shift
    until "$@"; do
        [ $((tries -= 1)) -gt 0 ] || return 1
        b usleep 5000
    done
}

mount_files() {
    if ! share root /host ro,cache=loose || ! b mount --bind /host /tree; then b reboot -f; fi
    b mount -t proc proc /tree/proc
    b mount -t sysfs sys /tree/sys
    b mount -t devtmpfs dev /tree/dev
    b mkdir -p /tree/dev/pts /tree/dev/shm
    b ln -s /proc/self/fd /tree/dev/fd
    for stream in 0/stdin 1/stdout 2/stderr; do b ln -s fd/"${stream%/*}" /tree/dev/"${stream#*/}"; done
    b mount -t devpts devpts /tree/dev/pts
    for dir in /dev/shm /run /tmp; do b mount -t tmpfs -o mode=1777 tmpfs /tree$dir; done
    b mkdir -p /tree/run/rdma-vm
    share run /tree/run/rdma-vm rw,cache=none || b reboot -f
    . /tree/run/rdma-vm/mounts
}

start_network() {
    b hostname guest"$VM_INDEX"
    echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
    b ip link set lo up
    b ip addr add 10.77.0."$VM_INDEX"/24 dev eth0
    b ip link set eth0 up
}

# The port becomes active, and gets its addresses, a little after it was made.
port_works() {
    cd "/sys/class/infiniband/${VM_DEV}0/ports/1" && b grep -q ACTIVE state &&
        { [ "$VM_DEV" != rxe ] || b grep -qs :ffff:0a4d: gids/*; }
}

start_device() {
    b modprobe "$VM_DRIVER"
    PATH=$PATH:/usr/sbin:/usr/bin:/sbin chroot /tree rdma link add "${VM_DEV}0" type "$VM_DEV" netdev eth0 || finish 125
    within 400 port_works || finish 125
    cd /
}

# The other processors come late, when the kernel has patched most of its code: qemu is not quite safe there with several, and newer
# kernels crashed.
start_processors() {
    [ -e /sys/devices/system/cpu/cpu1 ] || return
    within 200 b grep -qx tsc /sys/devices/system/clocksource/clocksource0/current_clocksource
    for processor in /sys/devices/system/cpu/cpu[1-9]; do echo 1 >"$processor"/online; done
}

is_there() { [ -e /tree/run/rdma-vm/up."$1" ] || [ -e /tree/run/rdma-vm/rc."$1" ]; }

ready=0
b mount -t proc proc /proc
b mount -t sysfs sys /sys
b mount -t devtmpfs dev /dev
for module in $VM_MODULES; do b modprobe -q "$module"; done
mount_files
b stty -F /dev/ttyS1 raw
exec </dev/null >/dev/ttyS1 2>&1
b date -s @"$VM_EPOCH" >/dev/null
echo /bin/modprobe >/proc/sys/kernel/modprobe
start_network
[ "$VM_DEV" = none ] || start_device
start_processors

: >/tree/run/rdma-vm/up."$VM_INDEX"
guest=1
while [ $guest -le "$VM_COUNT" ]; do # they start together; who does not come is ended by the time limit
    if is_there $guest; then guest=$((guest + 1)); else b usleep 5000; fi
done
ready=$(uptime)
ulimit -l unlimited
b setsid chroot /tree /bin/sh /run/rdma-vm/command."$VM_INDEX"
finish $?
