{{- define "downlease.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for the suffix -metrics. */}}
{{- define "downlease.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- default $full .Values.fullnameOverride | trunc 54 | trimSuffix "-" }}
{{- end }}

{{- define "downlease.selectorLabels" -}}
app.kubernetes.io/name: {{ include "downlease.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "downlease.labels" -}}
{{ include "downlease.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "downlease.serviceAccountName" -}}
{{- .Values.serviceAccount.create | ternary (include "downlease.fullname" .) "default" | default .Values.serviceAccount.name }}
{{- end }}

{{- define "downlease.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* Whether sessions are in an SQLite file: one pod, which is gone before the next one starts. */}}
{{- define "downlease.isSingle" -}}
{{- if eq .Values.store.kind "sqlite" }}true{{ end }}
{{- end }}

{{- define "downlease.claimName" -}}
{{- default (include "downlease.fullname" .) .Values.store.sqlite.existingClaim }}
{{- end }}

{{/*
The files of secrets, as YAML: [{ volume, secret, items: { key: variable } }]. Each Secret is a folder of its own below
/etc/downlease, and a variable names each file in it.
*/}}
{{- define "downlease.secretFiles" -}}
{{- $store := .Values.store.redis }}
{{- if eq .Values.store.kind "redis" }}
{{- with $store.urlSecret }}{{ if .name }}
- { volume: redis-url, secret: {{ .name | quote }}, items: { {{ .key | quote }}: DOWNLEASE_REDIS_URL_FILE } }
{{- end }}{{ end }}
{{- with $store.caSecret }}
- { volume: redis-ca, secret: {{ . | quote }}, items: { ca.crt: DOWNLEASE_REDIS_CA } }
{{- end }}
{{- with $store.clientCertificateSecret }}
- { volume: redis-client, secret: {{ . | quote }}, items: { tls.crt: DOWNLEASE_REDIS_CERT, tls.key: DOWNLEASE_REDIS_KEY } }
{{- end }}
{{- with $store.sentinelPasswordSecret }}{{ if .name }}
- { volume: redis-sentinel, secret: {{ .name | quote }}, items: { {{ .key | quote }}: DOWNLEASE_REDIS_SENTINEL_PASSWORD_FILE } }
{{- end }}{{ end }}
{{- end }}
{{- if eq .Values.content.kind "s3" }}
{{- with .Values.content.s3.credentialsSecret }}{{ if .name }}
- { volume: s3, secret: {{ .name | quote }}, items: { {{ .key | quote }}: AWS_SHARED_CREDENTIALS_FILE } }
{{- end }}{{ end }}
{{- end }}
{{- with .Values.auth.usersSecret }}{{ if .name }}
- { volume: users, secret: {{ .name | quote }}, items: { {{ .key | quote }}: DOWNLEASE_USERS_FILE } }
{{- end }}{{ end }}
{{- with .Values.auth.mtls.caSecret }}
- { volume: client-ca, secret: {{ . | quote }}, items: { ca.crt: DOWNLEASE_MTLS_CA } }
{{- end }}
{{- with .Values.tls.secret }}
- { volume: tls, secret: {{ . | quote }}, items: { tls.crt: DOWNLEASE_TLS_CERT, tls.key: DOWNLEASE_TLS_KEY } }
{{- end }}
{{- with .Values.linkKeys.secret }}{{ if .name }}
- { volume: link-keys, secret: {{ .name | quote }}, items: { {{ .key | quote }}: DOWNLEASE_LINK_KEYS_FILE } }
{{- end }}{{ end }}
{{- end }}

{{/* The variables of the chart's own settings, as YAML: { name: value }. Empty ones are left out. */}}
{{- define "downlease.variables" -}}
{{- with .Values }}
DOWNLEASE_HOST: 0.0.0.0
DOWNLEASE_PORT: "8080"
DOWNLEASE_ADMIN_LISTEN: {{ printf "0.0.0.0:%v" .metrics.port | quote }}
DOWNLEASE_LOG_FORMAT: json
DOWNLEASE_DRAIN_SECONDS: {{ .shutdown.drainSeconds | quote }}
DOWNLEASE_GRACE_SECONDS: {{ .shutdown.graceSeconds | quote }}
DOWNLEASE_TRANSFER_GRACE_SECONDS: {{ .shutdown.transferGraceSeconds | quote }}
{{- if eq .store.kind "sqlite" }}
DOWNLEASE_SQLITE_PATH: /data/downlease.db
{{- else }}
DOWNLEASE_REDIS_URL: {{ .store.redis.url | quote }}
DOWNLEASE_REDIS_SENTINEL_USER: {{ .store.redis.sentinelUser | quote }}
DOWNLEASE_REDIS_WAIT_REPLICAS: {{ .store.redis.waitReplicas | quote }}
{{- end }}
{{- if eq .content.kind "s3" }}
DOWNLEASE_S3_BUCKET: {{ .content.s3.bucket | quote }}
DOWNLEASE_S3_PREFIX: {{ .content.s3.prefix | quote }}
DOWNLEASE_S3_ENDPOINT: {{ .content.s3.endpoint | quote }}
DOWNLEASE_S3_PUBLIC_ENDPOINT: {{ .content.s3.publicEndpoint | quote }}
DOWNLEASE_S3_REGION: {{ .content.s3.region | quote }}
{{- with .content.s3.cache.bytes }}
DOWNLEASE_CACHE_DIR: /var/cache/downlease
DOWNLEASE_CACHE_BYTES: {{ . | quote }}
{{- end }}
{{- else }}
DOWNLEASE_CONTENT_ROOT: /library
{{- end }}
{{- with .auth.jwt }}{{ if .jwks }}
DOWNLEASE_JWT_JWKS: {{ .jwks | quote }}
DOWNLEASE_JWT_ISSUER: {{ .issuer | quote }}
DOWNLEASE_JWT_AUDIENCE: {{ .audience | quote }}
DOWNLEASE_JWT_ROLE_CLAIM: {{ .roleClaim | quote }}
{{- end }}{{ end }}
DOWNLEASE_MTLS_ADMINS: {{ join "," .auth.mtls.admins | quote }}
DOWNLEASE_MTLS_STORAGE: {{ join "," .auth.mtls.storage | quote }}
DOWNLEASE_INSECURE_NO_AUTH: {{ ternary "on" "" .auth.insecureNoAuth | quote }}
DOWNLEASE_PUBLIC_URL: {{ .publicUrl | quote }}
DOWNLEASE_TRUSTED_PROXIES: {{ join "," .trustedProxies | quote }}
DOWNLEASE_ALLOWED_HOSTS: {{ join "," .allowedHosts | quote }}
{{- end }}
{{- end }}

{{/* What cannot work together; the schema cannot say it as clearly. */}}
{{- define "downlease.check" -}}
{{- $redis := .Values.store.redis }}
{{- if include "downlease.isSingle" . }}
{{- if or (ne (int .Values.replicaCount) 1) .Values.autoscaling.enabled }}
{{- fail "store.kind sqlite is for one pod: set replicaCount to 1 and autoscaling.enabled to false, or use redis" }}
{{- end }}
{{- else if eq (empty $redis.url) (empty $redis.urlSecret.name) }}
{{- fail "set store.redis.url, or store.redis.urlSecret.name for a URL with a password, and not both" }}
{{- end }}
{{- if eq .Values.content.kind "s3" }}
{{- if empty .Values.content.s3.bucket }}
{{- fail "content.kind s3 needs content.s3.bucket" }}
{{- end }}
{{- else if eq (empty .Values.content.volume.existingClaim) (empty .Values.content.volume.source) }}
{{- fail "content.kind volume needs content.volume.existingClaim or content.volume.source, and not both" }}
{{- end }}
{{- $auth := .Values.auth }}
{{- if not (or $auth.usersSecret.name $auth.jwt.jwks $auth.mtls.caSecret $auth.insecureNoAuth) }}
{{- fail "set auth.usersSecret.name, auth.jwt.jwks or auth.mtls.caSecret: without one every caller is anonymous, which auth.insecureNoAuth allows" }}
{{- end }}
{{- if and $auth.mtls.caSecret (empty .Values.tls.secret) }}
{{- fail "auth.mtls.caSecret needs tls.secret: client certificates are shown to the pods" }}
{{- end }}
{{- if ge (float64 .Values.shutdown.drainSeconds) (float64 .Values.shutdown.graceSeconds) }}
{{- fail "shutdown.drainSeconds must be less than shutdown.graceSeconds, of which it is a part" }}
{{- end }}
{{- end }}

{{/* A value of a setting as the program takes it: YAML reads `on` as a boolean, and numbers as ones with exponents. */}}
{{- define "downlease.text" -}}
{{- if kindIs "bool" . }}{{ ternary "on" "off" . }}
{{- else if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}
{{- else }}{{ . }}
{{- end }}
{{- end }}

{{/* Of a stop, with a margin for the end of the process. */}}
{{- define "downlease.stopSeconds" -}}
{{- with .Values.shutdown }}
{{- ceil (addf (maxf .graceSeconds .transferGraceSeconds) 10) | int }}
{{- end }}
{{- end }}
