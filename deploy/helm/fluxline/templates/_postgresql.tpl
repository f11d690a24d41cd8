{{- define "fluxline.postgresql.pod" -}}
{{- $name := printf "%s-postgresql" (include "fluxline.name" .) -}}
metadata:
  labels: {{- include "fluxline.labels" (dict "root" . "part" "postgresql") | nindent 4 }}
spec:
  serviceAccountName: {{ $name }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext: {{- include "fluxline.podSecurity" 70 | nindent 4 }}
  terminationGracePeriodSeconds: 60
  containers:
    - name: postgresql
      image: {{ .Values.postgresql.image | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      securityContext: {{- include "fluxline.containerSecurity" . | nindent 8 }}
      ports:
        - {name: postgresql, containerPort: 5432, protocol: TCP}
      env:
        - {name: POSTGRES_PASSWORD_FILE, value: /secrets/POSTGRES_PASSWORD}
      startupProbe:
        exec: {command: [pg_isready, -q, -U, postgres, -h, 127.0.0.1]}
        periodSeconds: 3
        timeoutSeconds: 3
        failureThreshold: 100
      readinessProbe:
        exec: {command: [pg_isready, -q, -U, postgres, -h, 127.0.0.1]}
        periodSeconds: 3
        timeoutSeconds: 3
        failureThreshold: 3
      livenessProbe:
        tcpSocket: {port: postgresql}
        periodSeconds: 20
        timeoutSeconds: 5
        failureThreshold: 6
      resources: {{- toYaml .Values.postgresql.resources | nindent 8 }}
      volumeMounts:
        - {name: data, mountPath: /var/lib/postgresql}
        - {name: run, mountPath: /var/run/postgresql}
        - {name: tmp, mountPath: /tmp}
        - {name: shm, mountPath: /dev/shm}
        - {name: secrets, mountPath: /secrets, readOnly: true}
  volumes:
    - {name: run, emptyDir: {}}
    - {name: tmp, emptyDir: {}}
    - {name: shm, emptyDir: {medium: Memory, sizeLimit: 128Mi}}
    - name: secrets
      secret: {secretName: {{ .Values.postgresql.existingSecret | default $name }}, defaultMode: 0440}
{{- end }}
