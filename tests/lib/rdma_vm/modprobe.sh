#!/bin/sh
# rdma-vm-modprobe NAME: loads a module of the guest's kernel.
exec chroot /proc/1/root /bin/modprobe "$@"
