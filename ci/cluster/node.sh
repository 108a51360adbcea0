#!/bin/bash
# The first process of the cluster's pid namespace, started by `cluster up`: makes the node's network, starts every
# component, and waits. Each setting that is not obvious has its reason beside it.
set -euo pipefail
node=node-0 address=10.99.0.1 pods=10.244.0.0/16 services=10.96.0.0/16 registry=127.0.0.1:5000
program=$CLUSTER_BIN/cluster pki=$CLUSTER_STATE/pki conf=$CLUSTER_STATE/conf log=$CLUSTER_STATE/log
run=/run/build-test-cluster
kubectl() { "$program" kubectl --kubeconfig "$pki/admin.kubeconfig" "$@"; }
start() { local name=$1; shift; "$@" >"$log/$name.log" 2>&1 & }
wait_for() { # NAME SECONDS COMMAND...
  local name=$1 deadline=$((SECONDS + $2)); shift 2
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then echo "$name is not ready in time"; exit 1; fi
    sleep 0.1
  done
  echo "$SECONDS s: $name is ready"
}

# The kubelet refuses a loopback address for its node, and Service addresses need a route: a veth pair gives both.
ip link set lo up
ip link add node0 type veth peer name node1
ip addr add $address/24 dev node0
ip link set node0 up
ip link set node1 up
ip route add $services dev node0
echo 1 >/proc/sys/net/ipv4/ip_forward
mount --make-rshared /

# The kubelet ends itself when it cannot write these, which are the whole machine's: it gets copies to write to.
mkdir -p $run && mount -t tmpfs tmpfs $run
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  mkdir -p "$run/sysctl/$(dirname $setting)"
  cat "/proc/sys/$setting" >"$run/sysctl/$setting"
  mount --bind "$run/sysctl/$setting" "/proc/sys/$setting"
done

"$program" certificates -dir "$pki" -context "${CLUSTER_CONTEXT:-minikube}" \
  -names "127.0.0.1,$address,10.96.0.1,$node,localhost,kubernetes,kubernetes.default,kubernetes.default.svc"

cat >"$conf/registry.yaml" <<END
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $CLUSTER_STATE/registry}, delete: {enabled: true}}
http: {addr: $registry}
END
start registry docker-registry serve "$conf/registry.yaml"
start etcd "$program" etcd --data-dir "$CLUSTER_STATE/etcd"
start apiserver "$program" apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --secure-port=6443 \
  --advertise-address=$address --endpoint-reconciler-type=none --service-cluster-ip-range=$services \
  --authorization-mode=Node,RBAC --allow-privileged=true --client-ca-file="$pki/ca.crt" \
  --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
  --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$pki/sa.pub" \
  --service-account-signing-key-file="$pki/sa.key" --kubelet-certificate-authority="$pki/ca.crt" \
  --kubelet-client-certificate="$pki/apiserver-kubelet-client.crt" \
  --kubelet-client-key="$pki/apiserver-kubelet-client.key" --kubelet-preferred-address-types=InternalIP

mkdir -p "$conf/cni" "$CLUSTER_STATE/containerd" "$CLUSTER_STATE/podlogs"
cat >"$conf/cni/10-pods.conflist" <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": {
    "type": "host-local", "dataDir": "$run/addresses", "ranges": [[{"subnet": "$pods"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
# restrict_oom_score_adj: there is no CAP_SYS_RESOURCE to lower it with.
cat >"$conf/containerd.toml" <<END
version = 2
root = "$CLUSTER_STATE/containerd"
state = "$run/containerd"
[grpc]
  address = "$run/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$registry/pause:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$conf/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
END
start containerd containerd --config "$conf/containerd.toml"

wait_for registry 30 curl -fsS "http://$registry/v2/"
"$program" image -registry $registry -name pause -tag 1 -binary "$CLUSTER_BIN/pause"
wait_for "API server" 120 kubectl get --raw /readyz

# The default request rates delay the first ServiceAccount by seconds.
start controller-manager "$program" controller-manager --kubeconfig="$pki/controller-manager.kubeconfig" \
  --leader-elect=false --bind-address=127.0.0.1 --use-service-account-credentials=true \
  --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
  --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
  --kube-api-qps=500 --kube-api-burst=1000
start scheduler "$program" scheduler --kubeconfig="$pki/scheduler.kubeconfig" --leader-elect=false \
  --bind-address=127.0.0.1 --kube-api-qps=500 --kube-api-burst=1000

# A parent group of its own keeps the pods' groups apart, so that `cluster down` can remove them.
for hierarchy in /sys/fs/cgroup/*/; do
  [ -e "${hierarchy}cgroup.controllers" ] || mkdir -p "$hierarchy$CLUSTER_CGROUP"
done
# Eviction by percentages: the defaults evict on a disk that is 85 % full.
cat >"$conf/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 0.0.0.0
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: AlwaysAllow}
tlsCertFile: $pki/kubelet-serving.crt
tlsPrivateKeyFile: $pki/kubelet-serving.key
cgroupDriver: cgroupfs
cgroupRoot: /$CLUSTER_CGROUP
clusterDNS: [$address]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$run/containerd.sock
imageServiceEndpoint: unix://$run/containerd.sock
resolvConf: ""
staticPodPath: ""
podLogsDir: $CLUSTER_STATE/podlogs
failSwapOn: false
oomScoreAdj: 0
maxPods: 600
kubeAPIQPS: 500
kubeAPIBurst: 1000
registryPullQPS: 0
serializeImagePulls: false
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
featureGates: {KubeletInUserNamespace: true}
END
start kubelet "$program" kubelet --config="$conf/kubelet.yaml" --kubeconfig="$pki/kubelet.kubeconfig" \
  --hostname-override=$node --node-ip=$address --root-dir="$CLUSTER_STATE/kubelet"

# Names are answered beside the node rather than by pods: pods ask the node's address.
cat >"$conf/Corefile" <<END
.:53 {
  bind $address
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $pki/admin.kubeconfig
    ttl 1
  }
}
END
start coredns "$CLUSTER_BIN/coredns" -conf "$conf/Corefile"

# kube-proxy started before its node exists waits half a minute; connection tracking limits are not ours to set.
cat >"$conf/proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $pki/proxy.kubeconfig}
mode: iptables
clusterCIDR: $pods
hostnameOverride: $node
bindAddress: $address
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
END
wait_for "node object" 60 kubectl get node $node
start proxy "$program" proxy --config="$conf/proxy.yaml"
wait_for "default service account" 60 kubectl get serviceaccount default
wait_for node 120 kubectl wait --for=condition=Ready node/$node --timeout=1s

# How a local cluster names its registry: KEP-1755.
kubectl apply -f - <<END
apiVersion: v1
kind: ConfigMap
metadata: {name: local-registry-hosting, namespace: kube-public}
data: {localRegistryHosting.v1: "host: \"$registry\""}
END
echo "$SECONDS s: the cluster is ready"
touch "$CLUSTER_STATE/ready"
trap 'exit 0' TERM INT
while :; do sleep 3600 & wait $! || true; done
