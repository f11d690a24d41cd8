{{/* What a pod may do. Takes the user's number. */}}
{{- define "fluxline.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "fluxline.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Replicas on different nodes and zones, where there are some. Takes {root, part}. */}}
{{- define "fluxline.spread" -}}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "fluxline.selector" $ | nindent 6 }}
{{- end }}
{{- end -}}

{{- define "fluxline.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Variables of everything that reads events or prepares them. */}}
{{- define "fluxline.nats.environment" -}}
- {name: FLUXLINE_PRODUCTION, value: "true"}
- {name: NATS_MONITOR_URL, value: {{ include "fluxline.nats.monitors" . | quote }}}
- {name: NATS_REPLICAS, value: {{ include "fluxline.nats.streamReplicas" . | quote }}}
{{- if include "fluxline.nats.certificate" . }}
- {name: NATS_CA_FILE, value: /etc/fluxline/nats/ca.crt}
{{- end }}
{{- end -}}

{{- define "fluxline.storage.environment" -}}
- {name: CLOUDFLARE_R2_ENDPOINT, value: {{ include "fluxline.storage.endpoint" . | quote }}}
- {name: CLOUDFLARE_R2_BUCKET, value: {{ .Values.storage.bucket | quote }}}
{{- end -}}

{{/* asyncpg reads these, like every other client of PostgreSQL. */}}
{{- define "fluxline.postgresql.environment" -}}
{{- if not .Values.postgresql.bundled }}
- {name: PGSSLMODE, value: {{ .Values.postgresql.external.sslMode | quote }}}
{{- if .Values.postgresql.external.caSecret }}
- {name: PGSSLROOTCERT, value: /etc/fluxline/postgresql/ca.crt}
{{- end }}
{{- end }}
{{- end -}}

{{/* Takes {root, nats, postgres, secret, tmpSize}; so does the next one. */}}
{{- define "fluxline.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: {{ .tmpSize }}}
- name: secrets
  secret: {secretName: {{ .secret }}, defaultMode: 0440}
{{- if and .nats (include "fluxline.nats.certificate" .root) }}
- name: nats-ca
  secret: {secretName: {{ include "fluxline.nats.certificate" .root }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- if and .postgres (not .root.Values.postgresql.bundled) .root.Values.postgresql.external.caSecret }}
- name: postgresql-ca
  secret: {secretName: {{ .root.Values.postgresql.external.caSecret }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end -}}

{{- define "fluxline.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: secrets, mountPath: /secrets, readOnly: true}
{{- if and .nats (include "fluxline.nats.certificate" .root) }}
- {name: nats-ca, mountPath: /etc/fluxline/nats, readOnly: true}
{{- end }}
{{- if and .postgres (not .root.Values.postgresql.bundled) .root.Values.postgresql.external.caSecret }}
- {name: postgresql-ca, mountPath: /etc/fluxline/postgresql, readOnly: true}
{{- end }}
{{- end -}}
