{{/* The beginning of every name. */}}
{{- define "fluxline.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes of a part: selectors are made of it. Takes {root, part}. */}}
{{- define "fluxline.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{/* Labels of an object. Takes {root, part}. */}}
{{- define "fluxline.labels" -}}
{{ include "fluxline.selector" . }}
app.kubernetes.io/part-of: fluxline
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* An image of ours. Takes {root, image, tag}. */}}
{{- define "fluxline.image" -}}
{{ printf "%s/%s:%s" .root.Values.image.repository .image (.tag | default .root.Values.image.tag | default .root.Chart.AppVersion) | quote }}
{{- end -}}

{{/* A service's settings: its own over those of all, as YAML. Takes {root, service}. */}}
{{- define "fluxline.config" -}}
{{- mustMergeOverwrite (deepCopy .root.Values.defaults) (deepCopy (index .root.Values.services .service | default dict)) | toYaml -}}
{{- end -}}

{{/* Where NATS is: host:port, with commas. */}}
{{- define "fluxline.nats.servers" -}}
{{- if .Values.nats.bundled -}}
{{- $name := include "fluxline.name" . -}}
{{- $servers := list -}}
{{- range $number := until (int .Values.nats.replicas) -}}
{{- $servers = append $servers (printf "%s-nats-%d.%s-nats-headless.%s.svc:4222" $name $number $name $.Release.Namespace) -}}
{{- end -}}
{{- join "," $servers -}}
{{- else -}}
{{- join "," .Values.nats.external.servers -}}
{{- end -}}
{{- end -}}

{{/* The address of NATS for one user. Takes {root, user, password}. */}}
{{- define "fluxline.nats.url" -}}
{{- $urls := list -}}
{{- $scheme := ternary "tls" "nats" .root.Values.nats.tls.enabled -}}
{{- range splitList "," (include "fluxline.nats.servers" .root) -}}
{{- $urls = append $urls (printf "%s://%s:%s@%s" $scheme $.user $.password .) -}}
{{- end -}}
{{- join "," $urls -}}
{{- end -}}

{{/* The monitoring addresses of the servers, with commas. */}}
{{- define "fluxline.nats.monitors" -}}
{{- if .Values.nats.bundled -}}
{{- $urls := list -}}
{{- range splitList "," (include "fluxline.nats.servers" .) -}}
{{- $urls = append $urls (printf "http://%s:8222" (first (splitList ":" .))) -}}
{{- end -}}
{{- join "," $urls -}}
{{- else -}}
{{- join "," .Values.nats.external.monitorUrls -}}
{{- end -}}
{{- end -}}

{{/* On how many servers streams are kept. */}}
{{- define "fluxline.nats.streamReplicas" -}}
{{- ternary .Values.nats.replicas .Values.nats.external.streamReplicas .Values.nats.bundled | int | min 5 -}}
{{- end -}}

{{/* The Secret with the certificate of NATS; empty where there is none. */}}
{{- define "fluxline.nats.certificate" -}}
{{- if .Values.nats.tls.enabled -}}
{{- if .Values.nats.tls.secretName -}}
{{- .Values.nats.tls.secretName -}}
{{- else if .Values.nats.tls.certManager.enabled -}}
{{- printf "%s-nats-tls" (include "fluxline.name" .) -}}
{{- else if .Values.nats.bundled -}}
{{- fail "nats.tls.enabled needs nats.tls.secretName or nats.tls.certManager.enabled" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The address of the S3. */}}
{{- define "fluxline.storage.endpoint" -}}
{{- if .Values.storage.bundled -}}
{{- printf "http://%s-s3:8333" (include "fluxline.name" .) -}}
{{- else -}}
{{- required "storage.endpoint is empty: set it to the S3's address, or storage.bundled to true" .Values.storage.endpoint -}}
{{- end -}}
{{- end -}}

{{/* The address of PostgreSQL for a role. Takes {root, role, password, database}. */}}
{{- define "fluxline.postgresql.url" -}}
{{- $values := .root.Values.postgresql -}}
{{- $host := ternary (printf "%s-postgresql" (include "fluxline.name" .root)) $values.external.host $values.bundled -}}
{{- $port := ternary 5432 (int $values.external.port) $values.bundled -}}
{{- printf "postgresql://%s:%s@%s:%d/%s" .role (.password | urlquery | replace "+" "%20") (required "postgresql.external.host is empty: set it, or postgresql.bundled to true" $host) $port .database -}}
{{- end -}}
