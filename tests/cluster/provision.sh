#!/bin/bash
# A volume provisioner in two watches: a folder under STATE/volumes for every claim of the class "standard" that a
# pod on this node waits for, removed again with its claim. Of type "local", because fsGroup does nothing on hostPath.
set -u
admin() { kubectl --kubeconfig "$STATE/kubeconfig" "$@"; }

selected='index . "volume.kubernetes.io/selected-node"'
line="{{.metadata.namespace}} {{.metadata.name}} {{.metadata.uid}} {{.spec.resources.requests.storage}}"
line="$line {{range .spec.accessModes}}{{.}},{{end}} {{with .metadata.annotations}}{{with $selected}}{{.}}{{end}}{{end}}"
line="{{if eq .status.phase \"Pending\"}}{{if eq .spec.storageClassName \"standard\"}}$line{{\"\\n\"}}{{end}}{{end}}"

admin get pvc -A -w -o go-template="$line" |
while read -r namespace name uid size modes node; do
  [ "$node" = "$NODE" ] || continue
  mkdir -p -m 0777 "$STATE/volumes/$uid"
  admin create -f - <<YAML
apiVersion: v1
kind: PersistentVolume
metadata: {name: pvc-$uid, annotations: {pv.kubernetes.io/provisioned-by: tests.modelcar/folder}}
spec:
  capacity: {storage: $size}
  accessModes: [${modes%,}]
  storageClassName: standard
  persistentVolumeReclaimPolicy: Delete
  claimRef: {namespace: $namespace, name: $name, uid: $uid}
  local: {path: $STATE/volumes/$uid}
  nodeAffinity:
    required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [$NODE]}]}]}
YAML
done &
admin get pv -w -o go-template='{{if eq .status.phase "Released"}}{{.metadata.name}}{{"\n"}}{{end}}' |
while read -r volume; do
  admin delete pv "$volume" --wait=false && rm -rf "$STATE/volumes/${volume#pvc-}"
done &
wait -n           # a watch that ends ends both, and node.sh starts this script again
kill %1 %2 2> /dev/null
