{{/*
Refuse what cannot work, all of it at once, in words. The schema says part of it too, but it can be skipped
(--skip-schema-validation) and can't give a reason.
*/}}
{{- define "modelcar.validate" -}}
{{- $issues := concat
      (include "modelcar.validate.model" . | fromJsonArray)
      (include "modelcar.validate.pods" . | fromJsonArray)
      (include "modelcar.validate.args" . | fromJsonArray)
      (include "modelcar.validate.env" . | fromJsonArray) -}}
{{- if $issues -}}
  {{- fail (printf "\n\n  %s\n" (join "\n  " $issues)) -}}
{{- end -}}
{{- end -}}

{{- define "modelcar.validate.model" -}}
{{- $issues := list -}}
{{- $image := .Values.model.image -}}
{{- if not $image.reference -}}
  {{- $issues = append $issues "model.image.reference is missing: name the model image's HOST/REPO." -}}
{{- else if not (regexMatch `^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$` $image.reference) -}}
  {{- $issues = append $issues (printf "model.image.reference %q is no HOST/REPO; tag and digest have values of their own." $image.reference) -}}
{{- end -}}
{{- if not $image.digest -}}
  {{- $issues = append $issues "model.image.digest is missing: pods need one that does not move (sha256:… as printed by `kubectl modelcar push` or `crane digest`)." -}}
{{- else if not (regexMatch `^sha256:[0-9a-f]{64}$` $image.digest) -}}
  {{- $issues = append $issues (printf "model.image.digest %q is no digest: sha256: and 64 hexadecimal digits." $image.digest) -}}
{{- end -}}
{{- if ne .Values.delivery "pull" -}}
  {{- $issues = append $issues (printf "delivery %q is unknown; this chart knows: pull." .Values.delivery) -}}
{{- end -}}
{{- if not (.Files.Get "files/puller.py") -}}
  {{- $issues = append $issues "files/puller.py is missing or empty: this copy of the chart is not whole." -}}
{{- end -}}
{{- toJson $issues -}}
{{- end -}}

{{- define "modelcar.validate.pods" -}}
{{- $issues := list -}}
{{- $shared := or .Values.storage.existingClaim (has "ReadWriteMany" .Values.storage.accessModes) -}}
{{- $modes := join ", " .Values.storage.accessModes -}}
{{- if and (gt (int .Values.replicas) 1) (not $shared) -}}
  {{- $issues = append $issues (printf "replicas is %d, but the claim is %s: pods on other nodes could not mount it. Set storage.accessModes to [ReadWriteMany], or replicas to 1." (int .Values.replicas) $modes) -}}
{{- end -}}
{{- if and (eq .Values.strategy.type "RollingUpdate") (not $shared) -}}
  {{- $issues = append $issues (printf "strategy.type is RollingUpdate, but the claim is %s: the new pod would wait for the old one's volume, and the old one for the new pod. Use Recreate." $modes) -}}
{{- end -}}
{{- $deadline := int (include "modelcar.progressDeadlineSeconds" .) -}}
{{- if le $deadline (int (include "modelcar.startupSeconds" .)) -}}
  {{- $issues = append $issues (printf "progressDeadlineSeconds is %d, but server.startup alone allows %s seconds: a rollout would count as failed while the model loads." $deadline (include "modelcar.startupSeconds" .)) -}}
{{- end -}}
{{- if and .Values.accelerator.count (not .Values.accelerator.resource) -}}
  {{- $issues = append $issues "accelerator.count is set without accelerator.resource: name the resource (nvidia.com/gpu), or set the count to 0 for CPU." -}}
{{- end -}}
{{- range $where, $image := dict "server.image" .Values.server.image "puller.image" .Values.puller.image "tests.image" .Values.tests.image -}}
  {{- if and $image.repository (not $image.tag) (not $image.digest) -}}
    {{- $issues = append $issues (printf "%s has neither tag nor digest." $where) -}}
  {{- end -}}
{{- end -}}
{{- range $kind := list "requests" "limits" -}}
  {{- if hasKey (default dict (index $.Values.server.resources $kind)) $.Values.accelerator.resource -}}
    {{- $issues = append $issues (printf "server.resources.%s names %s: accelerator.count sets it." $kind $.Values.accelerator.resource) -}}
  {{- end -}}
{{- end -}}
{{- range $where := list "commonLabels" "podLabels" -}}
  {{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/instance" -}}
    {{- if hasKey (index $.Values $where) $label -}}
      {{- $issues = append $issues (printf "%s names %s: the Deployment and the Service find their pods by it." $where $label) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toJson $issues -}}
{{- end -}}

{{- define "modelcar.validate.args" -}}
{{- $issues := list -}}
{{- $instead := dict
      "--model" "model.image sets it"
      "--served-model-name" "set model.servedName"
      "--port" "set server.port, which the probes and the Service know"
      "--api-key" "everyone who may read pods could read it; name a Secret in server.apiKey.existingSecret" -}}
{{- range .Values.server.args -}}
  {{- $flag := include "modelcar.flagName" . -}}
  {{- if hasKey $instead $flag -}}
    {{- $issues = append $issues (printf "server.args has %s: %s." $flag (get $instead $flag)) -}}
  {{- /* argparse takes every unambiguous beginning of a flag for the flag */ -}}
  {{- else if and (hasPrefix $flag "--trust-remote-code") (gt (len $flag) 3) (not $.Values.server.allowRemoteCode) -}}
    {{- $issues = append $issues (printf "server.args has %s: Python from the model image would run in the server. Set server.allowRemoteCode to true if you trust it." $flag) -}}
  {{- end -}}
{{- end -}}
{{- toJson $issues -}}
{{- end -}}

{{- define "modelcar.validate.env" -}}
{{- $issues := list -}}
{{- $named := list -}}
{{- range .Values.server.env -}}
  {{- if has .name $named -}}
    {{- $issues = append $issues (printf "server.env has %s twice." .name) -}}
  {{- end -}}
  {{- $named = append $named .name -}}
  {{- if and (eq .name "VLLM_SERVER_DEV_MODE") (not $.Values.server.allowDevMode) -}}
    {{- $issues = append $issues "server.env has VLLM_SERVER_DEV_MODE: whoever reaches the server could run code in it. Set server.allowDevMode to true for a test that nobody else can reach." -}}
  {{- end -}}
  {{- if and (eq .name "VLLM_API_KEY") (hasKey . "value") -}}
    {{- $issues = append $issues "server.env has VLLM_API_KEY in the clear: name a Secret in server.apiKey.existingSecret." -}}
  {{- end -}}
{{- end -}}
{{- toJson $issues -}}
{{- end -}}
