{{/* A server with a disk. Takes {root, part, replicas, headless, ports: {name: number}, storage: {size, className}, pod}. */}}
{{- define "fluxline.stateful" -}}
{{- $name := printf "%s-%s" (include "fluxline.name" .root) .part -}}
{{- $part := dict "root" .root "part" .part -}}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  labels: {{- include "fluxline.labels" $part | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $name }}
  labels: {{- include "fluxline.labels" $part | nindent 4 }}
spec:
  replicas: {{ int .replicas }}
  serviceName: {{ .headless }}
  podManagementPolicy: Parallel
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Retain}
  selector:
    matchLabels: {{- include "fluxline.selector" $part | nindent 6 }}
  template: {{- .pod | nindent 4 }}
  volumeClaimTemplates:
    - metadata:
        name: data
        labels: {{- include "fluxline.selector" $part | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .storage.className }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests: {storage: {{ .storage.size }}}
{{- end -}}

{{/* A Service. Takes {root, part, name, headless, ports}. */}}
{{- define "fluxline.endpoint" -}}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  labels: {{- include "fluxline.labels" (dict "root" .root "part" .part) | nindent 4 }}
spec:
  {{- if .headless }}
  clusterIP: None
  publishNotReadyAddresses: true
  {{- end }}
  selector: {{- include "fluxline.selector" (dict "root" .root "part" .part) | nindent 4 }}
  ports:
    {{- range $port, $number := .ports }}
    - {name: {{ $port }}, port: {{ $number }}, targetPort: {{ $port }}, protocol: TCP}
    {{- end }}
{{- end -}}
