#!/bin/bash
# Process 1 of the cluster's namespaces: mounts, then the network, then every process of a small Kubernetes.
#   STATE  folder with bin/ conf/ pki/ log/ that Cluster.up has filled
#   HERE   the folder of this file        NODE, NODE_IP  the node's name and address
set -u
export PATH=$STATE/bin:/usr/sbin:/usr/bin:/sbin:/bin

# --- mounts: private to this namespace, then shared among its processes ----------------------------------------------
mount --make-rprivate /
mount --make-rshared /
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
# Mounted afresh inside a cgroup namespace, each hierarchy begins at our own cgroup: the kubelet sees "/".
# It asks for name=systemd too, not only for the controllers.
while IFS=: read -r _ controllers _; do
  case $controllers in cpu|cpuacct|cpu,cpuacct|cpuset|memory|devices|freezer|blkio|pids|name=systemd) ;; *) continue;; esac
  mkdir -p "/sys/fs/cgroup/${controllers#name=}"
  mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/${controllers#name=}"
done < /proc/self/cgroup
# Paths that some parts have fixed; the machine's own stay as they are.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/lock /run/sysctl
mount -t tmpfs -o mode=755 tmpfs /var/lib
mkdir -p /var/lib/cni /var/lib/kubelet
# Images in memory: unpacked in half the time, and gone with the namespace; removing them took longer than all else.
mount -t tmpfs -o mode=711 tmpfs "$STATE/containerd"
mkdir -p "$STATE/varlog"
mount --bind "$STATE/varlog" /var/log

# The kubelet insists on sysctls that are the whole machine's: show it what it wants instead of changing the machine.
pretend() {
  [ -e "/proc/sys/$1" ] || return 0
  local file=/run/sysctl/${1//\//.}
  echo "$2" > "$file"
  mount --bind "$file" "/proc/sys/$1"
}
pretend vm/overcommit_memory 1
pretend vm/panic_on_oom 0
pretend kernel/panic 10
pretend kernel/panic_on_oops 1
pretend kernel/keys/root_maxkeys 1000000
pretend kernel/keys/root_maxbytes 25000000

# --- network: a bridge without ports carries the node's address, as it may not be a loopback one ---------------------
hostname "$NODE"
ip link set lo up
ip link add node0 type bridge
ip addr add "$NODE_IP/24" dev node0
ip link set node0 up
ip route add default via "$NODE_IP" dev node0
echo 1 > /proc/sys/net/ipv4/ip_forward

# --- processes: each with a log of its own, started again when it ends -----------------------------------------------
keep() {
  local name=$1
  shift
  ( while :; do "$@" >> "$STATE/log/$name.log" 2>&1; echo "--- $name ended: $?" >> "$STATE/log/$name.log"; sleep 1; done ) &
}
admin() { kubectl --kubeconfig "$STATE/kubeconfig" "$@"; }
pki=$STATE/pki

keep registry registry serve "$STATE/conf/registry.yaml"
keep private-registry registry serve "$STATE/conf/private-registry.yaml"
keep containerd containerd --config "$STATE/conf/containerd.toml"
keep etcd etcd --name default --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
  --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
  --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
  --initial-cluster default=http://127.0.0.1:2380
# master-count: with the default reconciler the service "kubernetes" stays without an endpoint for a while.
keep kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 \
  --secure-port=6443 --bind-address=0.0.0.0 --advertise-address="$NODE_IP" \
  --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
  --client-ca-file="$pki/ca.crt" --token-auth-file="$pki/tokens.csv" \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
  --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local \
  --service-cluster-ip-range=10.96.0.0/16 \
  --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" \
  --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
  --allow-privileged=true --endpoint-reconciler-type=master-count --profiling=false
until admin get --raw /readyz > /dev/null 2>&1; do sleep 0.2; done
admin apply -f "$HERE/manifests" >> "$STATE/log/node.log"
# The grace periods keep a node that exists only in the API, for scheduling tests, from being tainted.
keep kube-controller-manager kube-controller-manager --kubeconfig="$pki/kube-controller-manager.kubeconfig" \
  --leader-elect=false --bind-address=127.0.0.1 --use-service-account-credentials=true \
  --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
  --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" --profiling=false \
  --node-monitor-grace-period=24h --node-startup-grace-period=24h
keep kube-scheduler kube-scheduler --kubeconfig="$pki/kube-scheduler.kubeconfig" --leader-elect=false \
  --bind-address=127.0.0.1 --profiling=false
keep kubelet kubelet --config="$STATE/conf/kubelet.yaml" --kubeconfig="$pki/kubelet.kubeconfig" \
  --root-dir="$STATE/kubelet" --hostname-override="$NODE" --node-ip="$NODE_IP" --v=1
keep kube-proxy kube-proxy --config="$STATE/conf/kube-proxy.yaml" --hostname-override="$NODE"
keep provision bash "$HERE/provision.sh"
keep coredns coredns -conf "$STATE/conf/Corefile"
while :; do wait -n 2> /dev/null || sleep 1; done   # as process 1 it also reaps whatever loses its parent
