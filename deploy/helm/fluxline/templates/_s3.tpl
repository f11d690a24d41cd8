{{- define "fluxline.s3.pod" -}}
{{- $name := printf "%s-s3" (include "fluxline.name" .) -}}
metadata:
  labels: {{- include "fluxline.labels" (dict "root" . "part" "s3") | nindent 4 }}
spec:
  serviceAccountName: {{ $name }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext: {{- include "fluxline.podSecurity" 1000 | nindent 4 }}
  containers:
    - name: s3
      image: {{ .Values.storage.image | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [weed, -logtostderr=true]
      args:
        - server
        - -dir=/data
        - -ip=127.0.0.1
        - -ip.bind=0.0.0.0
        - -filer
        - -s3
        - -s3.port=8333
        - -s3.config=/secrets/s3.json
        - -s3.autoCreateBucket=false
        - -volume.max=200
        - -master.volumeSizeLimitMB=512
        - -master.telemetry=false
      securityContext: {{- include "fluxline.containerSecurity" . | nindent 8 }}
      ports:
        - {name: s3, containerPort: 8333, protocol: TCP}
      startupProbe:
        httpGet: {path: /healthz, port: s3}
        periodSeconds: 3
        timeoutSeconds: 3
        failureThreshold: 60
      readinessProbe:
        httpGet: {path: /healthz, port: s3}
        periodSeconds: 5
        timeoutSeconds: 3
      resources: {{- toYaml .Values.storage.resources | nindent 8 }}
      volumeMounts:
        - {name: data, mountPath: /data}
        - {name: tmp, mountPath: /tmp}
        - {name: secrets, mountPath: /secrets, readOnly: true}
  volumes:
    - {name: tmp, emptyDir: {}}
    - name: secrets
      secret: {secretName: {{ $name }}, defaultMode: 0440}
{{- end }}
