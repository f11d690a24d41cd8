{{- define "fluxline.nats.configuration" -}}
{{- $replicas := int .Values.nats.replicas -}}
{{- $tls := include "fluxline.nats.certificate" . -}}
server_name: $SERVER_NAME
port: 4222
http: 8222
pid_file: /var/run/nats/nats.pid
max_payload: 2MB  # a dead letter holds a message of 1 MB and why it is there
lame_duck_grace_period: 5s
lame_duck_duration: 30s

jetstream {
  store_dir: /data
  max_file_store: {{ .Values.nats.storage.maxFileStore }}
  sync_interval: always  # what is acknowledged survives a power cut
}
{{- if $tls }}

tls {
  cert_file: /etc/nats/tls/tls.crt
  key_file: /etc/nats/tls/tls.key
}
{{- end }}
{{- if gt $replicas 1 }}

cluster {
  name: {{ include "fluxline.name" . }}
  port: 6222
  no_advertise: true  # clients and KEDA know the servers by their names
  authorization { user: routes, password: $NATS_PASSWORD_ROUTES, timeout: 5 }
  routes: $NATS_ROUTES
  {{- if $tls }}
  tls {
    cert_file: /etc/nats/tls/tls.crt
    key_file: /etc/nats/tls/tls.key
    ca_file: /etc/nats/tls/ca.crt
    verify: true
    timeout: 5
  }
  {{- end }}
}
{{- end }}

include ./authorization.conf
{{- end }}

{{- define "fluxline.nats.pod" -}}
{{- $name := printf "%s-nats" (include "fluxline.name" .) -}}
{{- $replicas := int .Values.nats.replicas -}}
{{- $tls := include "fluxline.nats.certificate" . -}}
{{- $part := dict "root" . "part" "nats" -}}
metadata:
  labels: {{- include "fluxline.labels" $part | nindent 4 }}
  annotations:
    checksum/configuration: {{ print (include "fluxline.nats.configuration" .) (.Files.Get "files/authorization.conf") | sha256sum }}
spec:
  serviceAccountName: {{ $name }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext: {{- include "fluxline.podSecurity" 1000 | nindent 4 }}
  terminationGracePeriodSeconds: 60
  topologySpreadConstraints: {{- include "fluxline.spread" $part | nindent 4 }}
  {{- if gt $replicas 1 }}
  affinity:
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 100
          podAffinityTerm:
            topologyKey: kubernetes.io/hostname
            labelSelector:
              matchLabels: {{- include "fluxline.selector" $part | nindent 16 }}
  {{- end }}
  {{- include "fluxline.placement" .Values.nats | nindent 2 }}
  containers:
    - name: nats
      image: {{ .Values.nats.image | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [nats-server, -c, /etc/nats/nats.conf]
      securityContext: {{- include "fluxline.containerSecurity" . | nindent 8 }}
      ports:
        - {name: client, containerPort: 4222, protocol: TCP}
        - {name: monitor, containerPort: 8222, protocol: TCP}
        - {name: cluster, containerPort: 6222, protocol: TCP}
      env:
        - name: SERVER_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - {name: GOMEMLIMIT, value: {{ .Values.nats.goMemoryLimit }}}
        {{- $variables := list "NATS_PASSWORD_ROUTES" }}
        {{- range regexFindAll "\\$NATS_PASSWORD_[A-Z]+" (.Files.Get "files/authorization.conf") -1 }}{{ $variables = append $variables (trimPrefix "$" .) }}{{ end }}
        {{- range $variables }}
        - name: {{ . }}
          valueFrom: {secretKeyRef: {name: {{ $.Values.nats.existingSecret | default $name }}, key: {{ . }}}}
        {{- end }}
        {{- if gt $replicas 1 }}
        {{- $routes := list }}
        {{- range $number := until $replicas }}
        {{- $routes = append $routes (printf "nats://routes:$(NATS_PASSWORD_ROUTES)@%s-%d.%s-headless.%s.svc:6222" $name $number $name $.Release.Namespace | quote) }}
        {{- end }}
        - {name: NATS_ROUTES, value: {{ printf "[%s]" (join ", " $routes) | squote }}}
        {{- end }}
      startupProbe:
        httpGet: {path: /healthz, port: monitor}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 120
      livenessProbe:
        httpGet: {path: "/healthz?js-enabled-only=true", port: monitor}
        periodSeconds: 30
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        httpGet: {path: "/healthz?js-server-only=true", port: monitor}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 3
      lifecycle:
        preStop: # clients are sent to the other servers first
          exec: {command: [nats-server, -sl, ldm=/var/run/nats/nats.pid]}
      resources: {{- toYaml .Values.nats.resources | nindent 8 }}
      volumeMounts:
        - {name: configuration, mountPath: /etc/nats, readOnly: true}
        - {name: data, mountPath: /data}
        - {name: run, mountPath: /var/run/nats}
        {{- if $tls }}
        - {name: tls, mountPath: /etc/nats/tls, readOnly: true}
        {{- end }}
  volumes:
    - name: configuration
      configMap: {name: {{ $name }}}
    - name: run
      emptyDir: {}
    {{- if $tls }}
    - name: tls
      secret: {secretName: {{ $tls }}, defaultMode: 0440}
    {{- end }}
{{- end }}
