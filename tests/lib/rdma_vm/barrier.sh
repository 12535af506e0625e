#!/bin/sh
# rdma-vm-barrier NAME [SECONDS]: waits until all guests have come here.
dir=/run/rdma-vm/barrier.${1:?usage: rdma-vm-barrier NAME [SECONDS]}
left=$((${2:-20} * 20))
mkdir -p "$dir" && : >"$dir/$RDMA_VM_INDEX" || exit 1
while set -- "$dir"/* && [ $# -lt "$RDMA_VM_COUNT" ]; do
    [ $((left -= 1)) -gt 0 ] || {
        echo "$0: waited in vain in $dir" >&2
        exit 1
    }
    sleep 0.05
done
