{{- define "fluxline.peer" -}}
- podSelector:
    matchLabels: {{- include "fluxline.selector" . | nindent 6 }}
{{- end }}

{{/* An egress rule to peers that may be empty, which is anywhere. Takes {to, ports}. */}}
{{- define "fluxline.egress" -}}
- ports: {{- range .ports }}
    - {protocol: TCP, port: {{ int . }}}
  {{- end }}
  {{- with .to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "fluxline.egress.nats" -}}
{{- if .Values.nats.bundled -}}
- ports: [{protocol: TCP, port: 4222}, {protocol: TCP, port: 8222}]
  to: {{- include "fluxline.peer" (dict "root" . "part" "nats") | nindent 4 }}
{{- else -}}
{{- $ports := list -}}
{{- range concat .Values.nats.external.servers .Values.nats.external.monitorUrls -}}{{- $ports = append $ports (regexFind "[0-9]+$" (trimSuffix "/" .)) -}}{{- end -}}
{{ include "fluxline.egress" (dict "to" .Values.networkPolicy.to.nats "ports" (uniq $ports)) }}
{{- end -}}
{{- end }}

{{- define "fluxline.egress.postgresql" -}}
{{- if .Values.postgresql.bundled -}}
- ports: [{protocol: TCP, port: 5432}]
  to: {{- include "fluxline.peer" (dict "root" . "part" "postgresql") | nindent 4 }}
{{- else -}}
{{ include "fluxline.egress" (dict "to" .Values.networkPolicy.to.postgresql "ports" (list .Values.postgresql.external.port)) }}
{{- end -}}
{{- end }}

{{- define "fluxline.portOf" -}}
{{- $host := get (urlParse .) "host" -}}
{{- if regexMatch ":[0-9]+$" $host }}{{ regexFind "[0-9]+$" $host }}{{ else }}{{ ternary "443" "80" (hasPrefix "https:" .) }}{{ end -}}
{{- end }}

{{- define "fluxline.egress.storage" -}}
{{- if .Values.storage.bundled -}}
- ports: [{protocol: TCP, port: 8333}]
  to: {{- include "fluxline.peer" (dict "root" . "part" "s3") | nindent 4 }}
{{- else -}}
{{ include "fluxline.egress" (dict "to" .Values.networkPolicy.to.storage "ports" (list (include "fluxline.portOf" (include "fluxline.storage.endpoint" .)))) }}
{{- end -}}
{{- end }}
