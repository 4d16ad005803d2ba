{{/* The application's name. */}}
{{- define "modelcar.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* What the objects are called: at most 63 characters, which is the limit of a Service. */}}
{{- define "modelcar.fullname" -}}
{{- $name := printf "%s-%s" .Release.Name (include "modelcar.name" .) -}}
{{- if contains (include "modelcar.name" .) .Release.Name }}{{ $name = .Release.Name }}{{ end -}}
{{- default $name .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The claim that the model is pulled to. */}}
{{- define "modelcar.claimName" -}}
{{- default (printf "%s-models" (include "modelcar.fullname" .)) .Values.storage.existingClaim -}}
{{- end -}}

{{/* Labels that a Deployment may never change, as YAML. */}}
{{- define "modelcar.selectorLabels" -}}
app.kubernetes.io/name: {{ include "modelcar.name" . | toJson }}
app.kubernetes.io/instance: {{ .Release.Name | toJson }}
{{- end -}}

{{/* All labels of an object, as YAML; the chart's own win over commonLabels. */}}
{{- define "modelcar.labels" -}}
{{- $own := include "modelcar.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/component" "server" -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "modelcar" -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- merge $own (deepCopy .Values.commonLabels) | toYaml -}}
{{- end -}}

{{/* A container image's reference; takes a map with repository, tag and digest. */}}
{{- define "modelcar.image" -}}
{{- if .digest }}{{ printf "%s@%s" .repository .digest }}{{ else }}{{ printf "%s:%s" .repository .tag }}{{ end -}}
{{- end -}}

{{/* The model image's reference. The digest alone decides, so the tag is not part of it. */}}
{{- define "modelcar.modelReference" -}}
{{- printf "%s@%s" .Values.model.image.reference .Values.model.image.digest -}}
{{- end -}}

{{/* The folder that the puller leaves the model in. */}}
{{- define "modelcar.modelPath" -}}
{{- printf "/models/%s" (trimPrefix "sha256:" .Values.model.image.digest) -}}
{{- end -}}

{{/* The name that requests call the model by. */}}
{{- define "modelcar.servedName" -}}
{{- default (base .Values.model.image.reference) .Values.model.servedName -}}
{{- end -}}

{{/* A vLLM flag's name in its one spelling: vLLM takes _ for - and =VALUE. */}}
{{- define "modelcar.flagName" -}}
{{- (splitList "=" . | first) | replace "_" "-" -}}
{{- end -}}

{{/*
The server's arguments, as YAML. Kubernetes replaces $(NAME) in arguments, so that $ is doubled in a text that is ours
to pass on; server.args is Kubernetes' own field and stays as it is.
*/}}
{{- define "modelcar.serverArgs" -}}
{{- $args := list
      (printf "--model=%s" (include "modelcar.modelPath" .))
      (printf "--served-model-name=%s" (include "modelcar.servedName" . | replace "$" "$$"))
      (printf "--port=%d" (int .Values.server.port)) -}}
{{- $parallel := false -}}
{{- range .Values.server.args -}}
  {{- if has (include "modelcar.flagName" .) (list "--tensor-parallel-size" "-tp" "--pipeline-parallel-size" "-pp" "--data-parallel-size" "-dp") }}{{ $parallel = true }}{{ end -}}
{{- end -}}
{{- if and (gt (int .Values.accelerator.count) 1) (not $parallel) -}}
  {{- $args = append $args (printf "--tensor-parallel-size=%d" (int .Values.accelerator.count)) -}}
{{- end -}}
{{- concat $args .Values.server.args | toYaml -}}
{{- end -}}

{{/* The server's environment, as YAML: the chart's own, but for what server.env names, then server.env. */}}
{{- define "modelcar.serverEnv" -}}
{{- $home := "/home/vllm" -}}
{{- $own := list
      (dict "name" "HOME" "value" $home)
      (dict "name" "USER" "value" "vllm")
      (dict "name" "XDG_CACHE_HOME" "value" (printf "%s/.cache" $home))
      (dict "name" "XDG_CONFIG_HOME" "value" (printf "%s/.config" $home))
      (dict "name" "HF_HOME" "value" (printf "%s/.cache/huggingface" $home))
      (dict "name" "VLLM_CACHE_ROOT" "value" (printf "%s/.cache/vllm" $home))
      (dict "name" "VLLM_CONFIG_ROOT" "value" (printf "%s/.config/vllm" $home))
      (dict "name" "TRITON_CACHE_DIR" "value" (printf "%s/.cache/triton" $home))
      (dict "name" "TORCHINDUCTOR_CACHE_DIR" "value" (printf "%s/.cache/torchinductor" $home))
      (dict "name" "NUMBA_CACHE_DIR" "value" (printf "%s/.cache/numba" $home))
      (dict "name" "OUTLINES_CACHE_DIR" "value" (printf "%s/.cache/outlines" $home))
      (dict "name" "HF_HUB_OFFLINE" "value" "1")
      (dict "name" "TRANSFORMERS_OFFLINE" "value" "1")
      (dict "name" "VLLM_NO_USAGE_STATS" "value" "1")
      (dict "name" "DO_NOT_TRACK" "value" "1")
      (dict "name" "VLLM_ENGINE_READY_TIMEOUT_S" "value" (include "modelcar.startupSeconds" .)) -}}
{{- with .Values.server.apiKey.existingSecret -}}
  {{- $own = append $own (dict "name" "VLLM_API_KEY" "valueFrom" (dict "secretKeyRef" (dict "name" . "key" $.Values.server.apiKey.key))) -}}
{{- end -}}
{{- $named := list -}}
{{- range .Values.server.env }}{{ $named = append $named .name }}{{ end -}}
{{- $env := list -}}
{{- range $own }}{{ if not (has .name $named) }}{{ $env = append $env . }}{{ end }}{{ end -}}
{{- concat $env .Values.server.env | toYaml -}}
{{- end -}}

{{/* Seconds that the startup probe gives the server. */}}
{{- define "modelcar.startupSeconds" -}}
{{- mul .Values.server.startup.periodSeconds .Values.server.startup.failureThreshold -}}
{{- end -}}

{{/* Seconds that a rollout may take: loading, and 5400 for pulling the image and the model, unless the values say. */}}
{{- define "modelcar.progressDeadlineSeconds" -}}
{{- default (add (include "modelcar.startupSeconds" .) 5400) .Values.progressDeadlineSeconds | int -}}
{{- end -}}

{{/* A container's resources with the accelerator's, as YAML. */}}
{{- define "modelcar.serverResources" -}}
{{- $resources := deepCopy .Values.server.resources -}}
{{- if .Values.accelerator.count -}}
  {{- $count := dict .Values.accelerator.resource (int .Values.accelerator.count) -}}
  {{- $resources = mergeOverwrite $resources (dict "requests" $count "limits" (deepCopy $count)) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* What the specs of all pods have in common, as YAML. */}}
{{- define "modelcar.sharedPodSpec" -}}
automountServiceAccountToken: false
{{- /* A Service called vllm would set VLLM_PORT, which vLLM takes for its own setting. */}}
enableServiceLinks: false
{{- with .Values.serviceAccount.name }}
serviceAccountName: {{ toJson . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $tolerations := .Values.tolerations }}
{{- if and .Values.accelerator.count .Values.accelerator.toleration }}
  {{- $tolerations = prepend $tolerations (dict "key" .Values.accelerator.resource "operator" "Exists" "effect" "NoSchedule") }}
{{- end }}
{{- with $tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
