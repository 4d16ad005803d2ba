#!/bin/bash
# launch.sh NODE_SCRIPT CGROUP...: move into the cgroups, then become the process that holds the cluster's namespaces.
set -eu
node=$1
shift
for cgroup in "$@"; do
  echo $$ > "$cgroup/cgroup.procs"
done
# KILL, because unshare blocks TERM: when it dies its child dies, that child is process 1 of the PID namespace, and
# with process 1 every process of the cluster goes.
exec unshare --mount --net --pid --ipc --uts --cgroup --fork --kill-child=KILL --mount-proc bash "$node"
