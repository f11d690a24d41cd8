{{/* Everything of one service. Takes {root, service, facts, config}. */}}
{{- define "fluxline.service" -}}
{{- $name := printf "%s-%s" (include "fluxline.name" .root) .service -}}
{{- $part := dict "root" .root "part" .service -}}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  labels: {{- include "fluxline.labels" $part | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels: {{- include "fluxline.labels" $part | nindent 4 }}
spec:
  selector: {{- include "fluxline.selector" $part | nindent 4 }}
  ports:
    - {name: http, port: 8000, targetPort: http, protocol: TCP, appProtocol: http}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels: {{- include "fluxline.labels" $part | nindent 4 }}
spec:
  {{- if not (include "fluxline.isScaled" .) }}
  replicas: {{ int .config.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels: {{- include "fluxline.selector" $part | nindent 6 }}
  template:
    metadata:
      labels: {{- include "fluxline.labels" $part | nindent 8 }}
      annotations:
        checksum/secrets: {{ .root.Values.secrets | toJson | sha256sum }}
        {{- with .config.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec: {{- include "fluxline.servicePod" . | nindent 6 }}
{{- if .root.Values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels: {{- include "fluxline.labels" $part | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "fluxline.selector" $part | nindent 6 }}
{{- end }}
{{- end -}}

{{- define "fluxline.servicePod" -}}
{{- $name := printf "%s-%s" (include "fluxline.name" .root) .service -}}
{{- $needs := dict "root" .root "nats" .facts.nats "postgres" .facts.postgres "tmpSize" .config.tmpSize "secret" (.config.existingSecret | default $name) -}}
serviceAccountName: {{ $name }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .config.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext: {{- include "fluxline.podSecurity" 10001 | nindent 2 }}
terminationGracePeriodSeconds: {{ add (int .config.preStopSeconds) (int .config.gracefulTimeoutSeconds) 15 }}
topologySpreadConstraints: {{- include "fluxline.spread" (dict "root" .root "part" .service) | nindent 2 }}
{{- include "fluxline.placement" .config }}
containers:
  - name: {{ .service }}
    image: {{ include "fluxline.image" (dict "root" .root "image" .service "tag" .config.tag) }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    securityContext: {{- include "fluxline.containerSecurity" . | nindent 6 }}
    ports:
      - {name: http, containerPort: 8000, protocol: TCP}
    env: {{- include "fluxline.serviceEnvironment" . | nindent 6 }}
    startupProbe:
      httpGet: {path: /healthz, port: http}
      periodSeconds: 2
      timeoutSeconds: 3
      failureThreshold: 45
    livenessProbe:
      httpGet: {path: /healthz, port: http}
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 6
    readinessProbe:
      httpGet: {path: /readyz, port: http}
      periodSeconds: 5
      timeoutSeconds: 4
      failureThreshold: 3
    {{- if int .config.preStopSeconds }}
    lifecycle:
      preStop:
        sleep: {seconds: {{ int .config.preStopSeconds }}}
    {{- end }}
    resources: {{- toYaml .config.resources | nindent 6 }}
    volumeMounts: {{- include "fluxline.mounts" $needs | nindent 6 }}
volumes: {{- include "fluxline.volumes" $needs | nindent 2 }}
{{- end -}}

{{/* The variables of a service: what follows from the release, then its own settings, which win. */}}
{{- define "fluxline.serviceEnvironment" -}}
{{- $values := .root.Values -}}
- {name: FLUXLINE_SECRETS_DIR, value: /secrets}
- {name: LOG_LEVEL, value: {{ $values.logLevel }}}
- {name: {{ .facts.prefix }}_GRACEFUL_TIMEOUT_S, value: {{ int .config.gracefulTimeoutSeconds | quote }}}
{{- if .facts.nats }}
{{ include "fluxline.nats.environment" .root }}
{{- with $values.otlpEndpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- if .facts.storage }}
{{ include "fluxline.storage.environment" .root }}
{{- end }}
{{- if .facts.postgres }}
{{- include "fluxline.postgresql.environment" .root }}
{{- end }}
{{- if $values.sandbox.enabled }}
{{- $sandbox := fromYaml (.root.Files.Get "files/sandbox.yaml") }}
{{- range $provider := .facts.providers }}
{{- $address := index $sandbox.addresses $provider }}
- {name: {{ $address.variable }}, value: {{ printf "http://%s-sandbox:8090%s" (include "fluxline.name" $.root) $address.path | quote }}}
{{- end }}
{{- end }}
{{- if eq .service "gateway" }}
- {name: GATEWAY_COLLECTOR_URL, value: {{ printf "http://%s-collector:8000" (include "fluxline.name" .root) | quote }}}
- {name: GATEWAY_PUBLIC_URL, value: {{ $values.publicUrl | default (printf "http://%s-gateway:8000" (include "fluxline.name" .root)) | quote }}}
{{- else if eq .service "studio" }}
- {name: STUDIO_GATEWAY_URL, value: {{ printf "http://%s-gateway:8000" (include "fluxline.name" .root) | quote }}}
{{- else if and (eq .service "trainer") $values.publicUrl (hasKey $values.secrets.given "GATEWAY_REPLICATE_WEBHOOK_SECRET") }}
- {name: TRAINER_WEBHOOK_URL, value: {{ printf "%s/v1/webhooks/replicate" (trimSuffix "/" $values.publicUrl) | quote }}}
{{- end }}
{{- range $variable, $value := .config.settings }}
- {name: {{ $variable }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end -}}
