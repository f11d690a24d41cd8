// Generated from docs/openapi.json by `make docs`: do not edit.
//
// const image: Image = await (await fetch(url)).json();
// type Started = Operations["create_training"]["answer"];

/** The owner of the API key, what the key may do and until when, and how the owner stands. */
export interface Account {
  owner: string;
  key_id: string | null;
  scopes: Array<string>;
  expires_at: string | null;
  spend: Spend;
  running: Running;
}

/** Where notices go: named by its kind and its place in COLLECTOR_ALERT_URLS. */
export interface AlertChannel {
  channel: string;
  /** the severities of the notices that it gets */
  severities: Array<"info" | "warning" | "critical">;
}

/** What became of a test notice. */
export interface AlertChannelTest {
  channel: string;
  /** the severities of the notices that it gets */
  severities: Array<"info" | "warning" | "critical">;
  ok: boolean;
  /** why it failed; null when the channel took it */
  reason: string | null;
}

/** One condition of a rule, of one group, from when it began to hold until it has gone for a while. */
export interface AlertIncident {
  id: number;
  /** name of the rule */
  rule: string;
  kind: "failure" | "rate" | "stuck" | "dead_letters" | "lag" | "loss";
  severity: "info" | "warning" | "critical";
  status: "open" | "resolved";
  title: string;
  /** what the rule groups by, and the values of this group */
  fields: Record<string, string>;
  /** failures, lost events or new dead letters so far; else how many there are now */
  count: number;
  /** trainings and generations it is about, the newest five */
  jobs: Array<string>;
  /** the most frequent message of the failures */
  message: string | null;
  remedy: string;
  labels: Record<string, string>;
  opened_at: string;
  /** when the condition was last seen to hold */
  last_seen_at: string;
  /** when a notice of it was last written; null before the first */
  notified_at: string | null;
  resolved_at: string | null;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface AlertIncidentPage {
  items: Array<AlertIncident>;
  next_cursor: string | null;
}

/** One rule, as it is in force. */
export interface AlertRule {
  name: string;
  kind: "failure" | "rate" | "stuck" | "dead_letters" | "lag" | "loss";
  severity: "info" | "warning" | "critical";
  /** what it looks for, in words */
  condition: string;
  /** each combination of these is an incident of its own */
  group_by: Array<string>;
  /** seconds that the condition must hold before an incident opens */
  for_s: number;
  /** seconds in which more of the same is collected into the first notice */
  group_wait_s: number;
  /** seconds that the condition must have gone before it counts as resolved */
  resolve_after_s: number;
  /** seconds after a notice before another one of the same incident */
  repeat_after_s: number;
  labels: Record<string, string>;
  remedy: string;
}

/** All rules, and where their notices go. No address of a channel is told, since it is a secret. */
export interface AlertRules {
  items: Array<AlertRule>;
  channels: Array<AlertChannel>;
  /** when notices below critical wait for the next digest */
  quiet_hours: string | null;
}

/** What became of a test notice through every channel; there is none when no channel is configured. */
export interface AlertTest {
  channels: Array<AlertChannelTest>;
}

/** One attempt: the receiver's status code, or the error for which there is none. */
export interface Attempt {
  number: number;
  at: string;
  duration_ms: number;
  status_code: number | null;
  error: string | null;
  /** the first 500 characters of what was answered, without secrets */
  answer: string | null;
}

/**
 * One call: `path` is percent-encoded and without its query, `client` the address it came from.
 *
 * `owner` and `key_id` are null where no good key was sent; `key_id` alone where it was another token than a key.
 */
export interface AuditEntry {
  id: number;
  at: string;
  owner: string | null;
  key_id: string | null;
  method: string;
  path: string;
  status: number;
  client: string | null;
  trace_id: string | null;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface AuditEntryPage {
  items: Array<AuditEntry>;
  next_cursor: string | null;
}

/** Why the card does not show the images that were asked for last, and what to do. */
export interface CardError {
  category: ErrorCategory;
  message: string;
  hint: string;
}

/** One of `options`. */
export interface Choice {
  options: Array<string>;
  default: string;
}

/**
 * How one consumer stands: messages that wait, that are being handled, and that are being tried again.
 *
 * `listening` is whether a process asks for messages or has some in hand; `last_active` is the last delivery.
 */
export interface ConsumerHealth {
  durable: string;
  stream: string;
  listening: boolean;
  pending: number;
  in_flight: number;
  redelivered: number;
  last_active: string | null;
}

/** Money spent at a provider, in US dollars, and how the figure came about. */
export interface Cost {
  amount_usd: number;
  basis: string;
}

/** A message that the consumer `durable` gave up on after so many `attempts`, and why. */
export interface DeadLetter {
  number: number;
  durable: string;
  subject: string;
  event_id: string;
  training_id: string | null;
  category: string;
  reason: string;
  hint: string;
  attempts: number;
  buried_at: string;
  trace_id: string | null;
}

/** A dead letter with its message; `body` is null where the stream does not hold it any more. */
export interface DeadLetterDetail {
  number: number;
  durable: string;
  subject: string;
  event_id: string;
  training_id: string | null;
  category: string;
  reason: string;
  hint: string;
  attempts: number;
  buried_at: string;
  trace_id: string | null;
  headers: Record<string, string>;
  body: unknown;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface DeadLetterPage {
  items: Array<DeadLetter>;
  next_cursor: string | null;
}

/** The id that the message has in the stream of events now; `repeated` where an earlier replay had put it there. */
export interface DeadLetterReplay {
  number: number;
  event: string;
  repeated: boolean;
}

/** What the debug-collector knows of a training. It is passed on as it comes: a newer one may say more. */
export interface DebugSummary {
  training_id: string;
  name: string | null;
  trace_id: string | null;
  trace_url: string | null;
  status: "running" | "succeeded" | "failed" | "canceled";
  current_stage: string | null;
  /** how often the training was retried */
  run: number;
  requested_at: string | null;
  ended_at: string | null;
  duration_ms: number | null;
  events: number;
  unreadable_events: number;
  error_counts: Record<string, number>;
  retryable_errors: number;
  last_error: LastError | null;
  waiting: Waiting | null;
  stages: Array<StageSummary>;
  progress: TrainingProgress | null;
  provider_ids: Record<string, string>;
  cost: Spent | null;
  diagnosis: string;
  log: Array<LogLine>;
}

/** What happened to a training, in the order of time, and the spans of a waterfall. */
export interface DebugTimeline {
  training_id: string;
  started_at: string;
  status: "running" | "succeeded" | "failed" | "canceled";
  entries: Array<TimelineEntry>;
  spans: Array<Span>;
  left_out: number;
}

/** A webhook that is sent until it is taken; its `id` is the `webhook-id` that the receiver sees every time. */
export interface Delivery {
  id: string;
  /** whose status it tells; null for a test */
  training_id: string | null;
  url: string;
  /** `training.` and the new status, or `webhook.test` */
  type: string;
  status: "pending" | "delivered" | "failed";
  attempts: number;
  /** when it is tried (again) at the earliest, while pending */
  next_attempt_at: string | null;
  created_at: string;
  ended_at: string | null;
}

/** A delivery with what it says and each attempt at it. */
export interface DeliveryDetail {
  id: string;
  /** whose status it tells; null for a test */
  training_id: string | null;
  url: string;
  /** `training.` and the new status, or `webhook.test` */
  type: string;
  status: "pending" | "delivered" | "failed";
  attempts: number;
  /** when it is tried (again) at the earliest, while pending */
  next_attempt_at: string | null;
  created_at: string;
  ended_at: string | null;
  payload: Record<string, unknown>;
  log: Array<Attempt>;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface DeliveryPage {
  items: Array<Delivery>;
  next_cursor: string | null;
}

/** Why something failed; decides whether it is tried again. */
export type ErrorCategory = "network" | "authentication" | "validation" | "rate_limit" | "service_error" | "file_error" | "timeout" | "billing" | "content_policy" | "internal";

/**
 * What a training would take and cost, the owner's money as it is now, and what stands in the way.
 *
 * `based_on` is how many completed trainings of this installation were looked at.
 */
export interface Estimate {
  cost_usd: Spread;
  duration_s: Spread;
  stages: Array<StageEstimate>;
  assumptions: Array<string>;
  based_on: number;
  spend: Spend;
  warnings: Array<string>;
}

/**
 * A training that somebody thinks about: every field of one, all optional, null where nothing is chosen yet.
 *
 * Where there are no `image_ids` yet, `image_count` says how many there will be.
 */
export interface EstimateRequest {
  name?: string | null;
  trigger_word?: string | null;
  image_ids?: Array<string> | null;
  image_count?: number | null;
  captions?: Record<string, string> | null;
  base_model?: "black-forest-labs/FLUX.1-dev" | null;
  steps?: number | null;
  learning_rate?: number | null;
  lora_rank?: number | null;
  resolution?: string | null;
  autocaption?: boolean | null;
  publish?: PublishDraft | null;
  webhook_url?: string | null;
  metadata?: Record<string, string> | null;
}

/** Which share of the attempts at a stage went wrong; a row for each category of error, and one for all of them. */
export interface FailureRate {
  /** beginning of the hour or day (UTC), or of the whole span */
  at: string;
  stage: string;
  /** who the stage talks to, or `unknown` */
  provider: string;
  /** version of the service that worked, or `unknown` */
  service_version: string;
  /** error category; null is all of them together */
  category: string | null;
  /** all attempts of this stage, provider and version, well or not */
  attempts: number;
  /** those with this category after which the stage gave up */
  failed: number;
  /** those with this category after which the stage tried again */
  retried: number;
  /** (failed + retried) / attempts, from 0 to 1 */
  error_rate: number;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface FailureRatePage {
  items: Array<FailureRate>;
  next_cursor: string | null;
}

/** What is wrong with one field of the request; `field` is its path, like `publish.repo_name`. */
export interface FieldError {
  field: string;
  message: string;
}

/** An image; its link works for an hour at least, ask again for a new one. */
export interface GeneratedImage {
  url: string;
}

/**
 * A generation and what came of it.
 *
 * `canceling`: its owner wants it to stop, and it has not ended yet. `used` is all that `provider` was sent except the
 * prompt, which is `prompt_used`: with the same the image can be made again. `refusals` are of the providers that
 * were asked before.
 */
export interface Generation {
  id: string;
  model_id: string | null;
  status: "requested" | "running" | "succeeded" | "failed" | "canceled";
  canceling: boolean;
  parameters: GenerationParameters;
  prompt_used: string | null;
  provider: string | null;
  seed: number | null;
  used: Record<string, string | number | boolean>;
  refusals: Array<Refusal>;
  images: Array<GeneratedImage>;
  error: GenerationError | null;
  cost: Cost | null;
  created_at: string;
  updated_at: string;
}

/** Why there are no images, and what to do. */
export interface GenerationError {
  category: ErrorCategory;
  retryable: boolean;
  message: string;
  hint: string;
}

/**
 * What images would probably cost, the owner's money as it is now, and what stands in the way.
 *
 * The real cost is the generation's `cost`, once it has ended.
 */
export interface GenerationEstimate {
  cost_usd: number;
  assumptions: Array<string>;
  spend: Spend;
  warnings: Array<string>;
}

/** The bounds of a generation's fields; a model card shows up to `sample_prompts_max` images. */
export interface GenerationLimits {
  prompt: Length;
  aspect_ratio: Choice;
  output_format: Choice;
  num_outputs: IntegerRange;
  num_inference_steps: IntegerRange;
  guidance_scale: NumberRange;
  lora_scale: NumberRange;
  sample_prompts_max: number;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface GenerationPage {
  items: Array<Generation>;
  next_cursor: string | null;
}

/** How to make images; the bounds are those of `limits`. */
export interface GenerationParameters {
  prompt: string;
  aspect_ratio: string;
  num_outputs: number;
  lora_scale: number;
  num_inference_steps: number;
  guidance_scale: number;
  seed: number | null;
  output_format: "webp" | "jpg" | "png";
}

/** What to generate. */
export interface GenerationRequest {
  prompt: string;
  aspect_ratio?: "1:1" | "16:9" | "21:9" | "3:2" | "2:3" | "4:5" | "5:4" | "3:4" | "4:3" | "9:16" | "9:21";
  num_outputs?: number;
  lora_scale?: number;
  num_inference_steps?: number;
  guidance_scale?: number;
  seed?: number | null;
  output_format?: "webp" | "jpg" | "png";
}

/** What a test webhook carries. */
export interface Greeting {
  message: string;
}

/** Where on Hugging Face the model is; `commit` is the 40-hex id of the commit that holds it. */
export interface HubPublication {
  repo: string;
  commit: string;
  url: string;
  private: boolean;
}

/**
 * An accepted image; width and height in pixels as seen upright, `format` is that of the content.
 *
 * `warnings` are sentences for people, `warning_codes` the same for programs: extreme_aspect_ratio, blurry, dark,
 * low_contrast, near_duplicate. `near_duplicates` are the owner's other images that look alike.
 */
export interface Image {
  id: string;
  filename: string;
  width: number;
  height: number;
  size_bytes: number;
  format: string;
  sha256: string;
  caption: string | null;
  warnings: Array<string>;
  warning_codes: Array<string>;
  near_duplicates: Array<string>;
  created_at: string;
}

/**
 * What an image shows, in words that are trained along with it; null or nothing leaves that to fluxline.
 *
 * It is used in the trainings that name no other caption for the image.
 */
export interface ImageChange {
  caption: string | null;
}

/** What an image must satisfy; the format is that of the content, the short side counts after orientation. */
export interface ImageLimits {
  per_training_min: number;
  per_training_max: number;
  per_upload_max: number;
  formats: Array<string>;
  short_side_min_px: number;
  size_max_bytes: number;
  pixels_max: number;
  filename: Length;
  caption: Length;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface ImagePage {
  items: Array<Image>;
  next_cursor: string | null;
}

/** An upload: send its files, then complete it. It is open, and its links work, until `expires_at`. */
export interface ImageUpload {
  id: string;
  expires_at: string;
  files: Array<ImageUploadFile>;
}

/**
 * A file of an upload, numbered from 1 in the order in which they were announced.
 *
 * Send exactly `size_bytes` as the body of one request: `method` to `url` with `headers`, and without an API key. It
 * may be repeated. `received` says that nothing needs to be sent: the file has arrived, or it is an `image` already
 * (then `url` is null). `rejected` says why what was sent before became no image.
 */
export interface ImageUploadFile {
  number: number;
  filename: string;
  size_bytes: number;
  url: string | null;
  method: "PUT";
  headers: Record<string, string>;
  received: boolean;
  image: Image | null;
  rejected: RejectedFile | null;
}

/** A photo that will be sent: its exact size, and its SHA-256 in hex where the client can compute it. */
export interface ImageUploadFileRequest {
  filename: string;
  size_bytes: number;
  sha256?: string | null;
}

/** The photos that will be sent; an image of the owner's that is known by its `sha256` need not be. */
export interface ImageUploadRequest {
  files: Array<ImageUploadFileRequest>;
}

/** A number between `min` and `max`, both included. */
export interface IntegerRange {
  min: number;
  max: number;
  default: number;
}

/** One training among many: where it stands, how long it has taken, what it has cost. */
export interface JobInsight {
  training_id: string;
  name: string | null;
  owner: string | null;
  status: "running" | "succeeded" | "failed" | "canceled";
  /** where it is, or where it failed */
  stage: string | null;
  /** error category of a failed training */
  category: string | null;
  /** whether trying the same again can help, of a failed training */
  retryable: boolean | null;
  /** what happened, of a failed training */
  message: string | null;
  /** when it was requested */
  began_at: string;
  /** when it ended; null while it runs */
  ended_at: string | null;
  /** when its newest event was stored */
  last_at: string;
  /** milliseconds from the request to the end, or until now; waits included */
  duration_ms: number;
  /** milliseconds of all its ended attempts together */
  work_ms: number;
  /** milliseconds since its newest event; null when it has ended */
  silent_ms: number | null;
  /** whether it runs and is silent for longer than `stuck_after_ms` */
  stuck: boolean;
  /** milliseconds of silence that are too many: the 99th percentile of the newest 1,000 attempts that succeeded at its stage, 10 minutes at least; null when it has ended */
  stuck_after_ms: number | null;
  provider: string | null;
  /** the provider's id of the newest run */
  external_id: string | null;
  /** US dollars of all its paid runs; null when the price is not known */
  cost_usd: number | null;
  image_count: number | null;
  /** how often a stage tried again by itself */
  retries: number;
  /** how many attempts failed, those included */
  errors: number;
  trace_id: string | null;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface JobInsightPage {
  items: Array<JobInsight>;
  next_cursor: string | null;
}

/**
 * An API key's facts. `hint` is what the key begins with; `last_used_at` may be a minute late.
 *
 * A key is good until it is revoked or expires. It stays in the list after that.
 */
export interface Key {
  id: string;
  name: string;
  hint: string;
  owner: string;
  scopes: Array<string>;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
  revoked_at: string | null;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface KeyPage {
  items: Array<Key>;
  next_cursor: string | null;
}

/**
 * An API key to be made; `name` says what it is for.
 *
 * Without `scopes` it may read and write, as far as the calling key may. Without `expires_at` it ends with the
 * calling key, or never.
 */
export interface KeyRequest {
  name: string;
  scopes?: Array<"read" | "write" | "admin"> | null;
  expires_at?: string | null;
}

/** The newest error, or the one that ended the training; `hint` is the remedy, `context` what helps to find it. */
export interface LastError {
  stage: string | null;
  category: string | null;
  retryable: boolean | null;
  message: string;
  hint: string;
  occurred_at: string;
  attempt: number | null;
  service: string | null;
  /** the stage at which a retry begins, if that is an earlier one */
  resume_from: string | null;
  context: Record<string, unknown>;
}

/** A text's length in characters. */
export interface Length {
  min: number;
  max: number;
}

/** What the API accepts. */
export interface Limits {
  images: ImageLimits;
  training: TrainingLimits;
  generation: GenerationLimits;
}

/**
 * One entry of a service's log: `event` is what happened, `fields` its particulars.
 *
 * `logger` and `instance` (the process, as host:pid) and the traceback in `fields.exception` are shown to keys with
 * the scope admin. `id` works as a cursor.
 */
export interface LogEntry {
  id: string;
  at: string;
  level: "debug" | "info" | "warning" | "error" | "critical";
  service: string;
  event: string;
  fields: Record<string, unknown>;
  training_id: string | null;
  generation_id: string | null;
  trace_id: string | null;
  logger: string | null;
  instance: string | null;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface LogEntryPage {
  items: Array<LogEntry>;
  next_cursor: string | null;
}

/** One line of the training's log; `folded` like lines before it were left out. */
export interface LogLine {
  occurred_at: string;
  level: "info" | "debug" | "warning" | "error";
  stage: string | null;
  message: string;
  data: Record<string, unknown>;
  folded: number;
}

/**
 * A trained model; `huggingface` is null where it was not published.
 *
 * `samples` are what its card shows by now; `samples_error` says why it does not show those that were asked for last.
 */
export interface Model {
  id: string;
  training_id: string;
  name: string;
  trigger_word: string;
  base_model: string;
  sha256: string;
  size_bytes: number;
  provider: string;
  provider_version: string;
  huggingface: HubPublication | null;
  samples: Array<Sample>;
  samples_error: CardError | null;
  weights_url: string;
  created_at: string;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface ModelPage {
  items: Array<Model>;
  next_cursor: string | null;
}

/** A new API key, with the `key` itself: nobody can show it again. */
export interface NewKey {
  id: string;
  name: string;
  hint: string;
  owner: string;
  scopes: Array<string>;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
  revoked_at: string | null;
  key: string;
}

/** A number between `min` and `max`, both included. */
export interface NumberRange {
  min: number;
  max: number;
  default: number;
}

/**
 * An owner: its limits (null: the gateway's default), its money, how much runs, and how much it has.
 *
 * `created_at` is when its first key was made.
 */
export interface Owner {
  owner: string;
  spend_cap_usd: number | null;
  max_running: number | null;
  requests_per_minute: number | null;
  spend: Spend;
  running: number;
  images: number;
  trainings: number;
  models: number;
  created_at: string | null;
}

/**
 * Limits of an owner: what is left out stays, null is the gateway's default.
 *
 * With a cap of 0 nothing that costs money can be asked for, with a `max_running` of 0 no training.
 */
export interface OwnerChange {
  spend_cap_usd?: number | null;
  max_running?: number | null;
  requests_per_minute?: number | null;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface OwnerPage {
  items: Array<Owner>;
  next_cursor: string | null;
}

/**
 * An error by RFC 9457. `category` is one of fluxline's error categories, `hint` says what to do.
 *
 * `type` names the kind of problem, `detail` is about this one occurrence, `errors` has the fields that do not fit.
 */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail?: string | null;
  instance: string;
  category: ErrorCategory;
  hint: string;
  errors?: Array<FieldError>;
}

/** What trainings have cost at a provider. All of a training counts when its newest paid run succeeded. */
export interface ProviderCosts {
  /** beginning of the hour or day (UTC), or of the whole span */
  at: string;
  /** whom it was paid to, or `unknown` */
  provider: string;
  /** trainings with a known price */
  jobs: number;
  /** paid runs of these that succeeded; a training that was retried may have several */
  runs: number;
  /** US dollars in all */
  cost_usd: number;
  /** US dollars per training on average */
  mean_usd: number;
  /** US dollars of the dearest training */
  max_usd: number;
  /** the part of cost_usd paid for trainings that have failed or are canceled */
  lost_usd: number;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface ProviderCostsPage {
  items: Array<ProviderCosts>;
  next_cursor: string | null;
}

/** How long attempts took that talk to a provider, whatever came of them. */
export interface ProviderLatency {
  /** beginning of the hour or day (UTC), or of the whole span */
  at: string;
  /** who the stage talks to, or `unknown` */
  provider: string;
  stage: string;
  /** how many attempts ended */
  attempts: number;
  /** share of them that did not succeed, from 0 to 1 */
  error_rate: number;
  /** median in milliseconds; null where no duration is known */
  p50_ms: number | null;
  /** 90th percentile in milliseconds */
  p90_ms: number | null;
  /** 95th percentile in milliseconds */
  p95_ms: number | null;
  /** 99th percentile in milliseconds */
  p99_ms: number | null;
  /** the longest, in milliseconds */
  max_ms: number | null;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface ProviderLatencyPage {
  items: Array<ProviderLatency>;
  next_cursor: string | null;
}

/** As `PublishIn`, while the form is being filled in: the licence may still be open. */
export interface PublishDraft {
  enabled?: boolean;
  private?: boolean;
  repo_name?: string | "" | null;
  /** that the FLUX.1-dev non-commercial licence is accepted, under which whatever is made from that model is published (https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md) */
  accept_license?: boolean;
  sample_prompts?: Array<string>;
}

/** Whether and how the model goes to Hugging Face; private unless the owner says otherwise. */
export interface PublishOptions {
  enabled: boolean;
  private: boolean;
  repo_name: string | null;
  accept_license: boolean;
  sample_prompts: Array<string>;
}

/**
 * Whether and how to publish. FLUX.1-dev derivatives are non-commercial: publishing needs `accept_license`.
 *
 * Without it the request is answered with 422, and nothing is trained. A retry publishes as was asked for here.
 */
export interface PublishRequest {
  /** whether the model is published on Hugging Face at all */
  enabled?: boolean;
  /** whether only its owner sees it there */
  private?: boolean;
  repo_name?: string | null;
  /** that the FLUX.1-dev non-commercial licence is accepted, under which whatever is made from that model is published (https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md); needed to publish */
  accept_license?: boolean;
  /** an image of each is made for the model card once the model is published; they cost as generations */
  sample_prompts?: Array<string>;
}

/** Nothing is to be said. */
export type Received = Record<string, unknown>;

/** A provider that was asked before, and declined for a reason of its own. */
export interface Refusal {
  provider: string;
  category: ErrorCategory;
  message: string;
}

/**
 * A file that is no photo to train on: `code` for programs, `reason` for people.
 *
 * `code` is one of empty_file, too_large, not_an_image, unsupported_format, animated, too_many_pixels, too_small,
 * too_complex, truncated; of a direct upload also missing, size_mismatch, checksum_mismatch.
 */
export interface RejectedFile {
  filename: string;
  code: string;
  reason: string;
}

/** Whether trying again helped: runs of a stage that met an error of this category and went on. */
export interface RetryInsight {
  stage: string;
  /** error category of the failed attempts, or `unknown` */
  category: string;
  /** automatic: by the stage itself; by_hand: by somebody, after it had given up */
  kind: "automatic" | "by_hand";
  /** failed attempts that were followed by another */
  attempts: number;
  /** runs of the stage that these belong to, each counted once */
  runs: number;
  /** runs that succeeded afterwards */
  succeeded: number;
  /** runs that failed in the end all the same */
  failed: number;
  /** runs that go on, or were canceled */
  undecided: number;
  /** succeeded / (succeeded + failed); null when no run has ended */
  success_rate: number | null;
  /** median milliseconds from the first such failure to the success */
  p50_ms: number | null;
  /** 95th percentile of the same, in milliseconds */
  p95_ms: number | null;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface RetryInsightPage {
  items: Array<RetryInsight>;
  next_cursor: string | null;
}

/**
 * What is said of each image, in the order asked for, and of the set.
 *
 * `warning_codes` of the set are too_few_images, near_duplicates and low_variety. `ready` is false for a set that
 * would be refused, or whose training would be a waste because too few of its images differ.
 */
export interface Review {
  images: Array<ReviewedImage>;
  warnings: Array<string>;
  warning_codes: Array<string>;
  ready: boolean;
}

/** The images that a training is meant to have. */
export interface ReviewRequest {
  image_ids: Array<string>;
}

/** What is said of one image within its set: `near_duplicates` are those of the set that look alike. */
export interface ReviewedImage {
  id: string;
  filename: string;
  caption: string | null;
  warnings: Array<string>;
  warning_codes: Array<string>;
  near_duplicates: Array<string>;
}

/** How many trainings have not ended, and how many may be so at once (null: any number). */
export interface Running {
  now: number;
  limit: number | null;
}

/** An image of the model card, and its prompt; the link works for an hour at least. */
export interface Sample {
  text: string;
  url: string;
}

/** The generations that make the images of a model's card. */
export interface Samples {
  model_id: string;
  generations: Array<Generation>;
}

/** What the images of the model card show, a prompt for each; the trigger word is added where one lacks it. */
export interface SamplesRequest {
  prompts: Array<string>;
}

/** A service by its consumers; it listens when all of them do. */
export interface ServiceHealth {
  service: string;
  listening: boolean;
  last_active: string | null;
  consumers: Array<ConsumerHealth>;
}

/**
 * A piece of a stage's time; those of a stage follow each other without gap or overlap.
 *
 * `offset_ms` counts from the request. `duration_ms` is null while it lasts. `attempt` is that of the work, or the
 * one that a wait led to.
 */
export interface Span {
  stage: string;
  kind: "work" | "wait";
  reason: "queue" | "retry" | "rate_limit" | "cut_off" | "owner" | "earlier_stage" | null;
  run: number;
  attempt: number;
  started_at: string;
  offset_ms: number;
  duration_ms: number | null;
  outcome: "succeeded" | "retried" | "failed" | "canceled" | "lost" | null;
  category: string | null;
  provider: string | null;
}

/**
 * Money of one owner in this calendar month (UTC), in US dollars; without a cap, `remaining_usd` is null.
 *
 * `reserved_usd` is what the running trainings and generations will probably cost.
 */
export interface Spend {
  cap_usd: number | null;
  spent_usd: number;
  reserved_usd: number;
  remaining_usd: number | null;
  period_start: string;
  resets_at: string;
}

/** US dollars of all the provider's runs that succeeded, and how the newest figure came about. */
export interface Spent {
  amount_usd: number;
  basis: string;
}

/** Between `low` and `high`, most likely `likely`. */
export interface Spread {
  low: number;
  likely: number;
  high: number;
}

/** Where in the pipeline a job is. `image_generation` belongs to generations, not to trainings. */
export type Stage = "zip_creation" | "replicate_training" | "huggingface_upload" | "completion" | "image_generation";

/** How long attempts at a stage took, by how they ended. Percentiles are interpolated between measured values. */
export interface StageDurations {
  /** beginning of the hour or day (UTC), or of the whole span */
  at: string;
  stage: string;
  /** retried: failed and tried again; failed: the stage gave up */
  outcome: "succeeded" | "retried" | "failed";
  /** who the stage talks to, or `unknown` */
  provider: string;
  /** how many attempts ended so */
  attempts: number;
  /** median in milliseconds; null where no duration is known */
  p50_ms: number | null;
  /** 90th percentile in milliseconds */
  p90_ms: number | null;
  /** 95th percentile in milliseconds */
  p95_ms: number | null;
  /** 99th percentile in milliseconds */
  p99_ms: number | null;
  /** the longest, in milliseconds */
  max_ms: number | null;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface StageDurationsPage {
  items: Array<StageDurations>;
  next_cursor: string | null;
}

/** What one stage takes and costs. */
export interface StageEstimate {
  stage: Stage;
  duration_s: Spread;
  cost_usd: Spread;
}

/**
 * One stage over all runs: `duration_ms` from its first start to its end is `work_ms` and `wait_ms` together.
 *
 * `queued_ms` is how long it waited before that, `errors` how many of its attempts failed.
 */
export interface StageSummary {
  stage: string;
  status: "pending" | "running" | "retrying" | "succeeded" | "failed" | "canceled";
  attempts: number;
  errors: number;
  started_at: string;
  ended_at: string | null;
  duration_ms: number | null;
  work_ms: number;
  wait_ms: number;
  queued_ms: number | null;
}

/** Every service that reads events, by its name. */
export interface SystemHealth {
  services: Array<ServiceHealth>;
}

/** A webhook that was asked for with POST /v1/webhooks/test. */
export interface TestWebhook {
  type: "webhook.test";
  timestamp: string;
  data: Greeting;
}

/** A URL that opens one training's events without a key; `url` is relative to the gateway's address. */
export interface Ticket {
  url: string;
  expires_at: string;
}

/** One thing that happened, or (`type` is `wait`) how long nothing did; `id` is the event's, or the one before. */
export interface TimelineEntry {
  id: number;
  at: string;
  offset_ms: number;
  level: "info" | "debug" | "warning" | "error";
  stage: string | null;
  type: string;
  title: string;
  detail: string | null;
  duration_ms: number | null;
  category: string | null;
  attempt: number | null;
  provider_ids: Record<string, string>;
  folded: number;
}

/** A training; `progress` is 0–100 over the whole pipeline and never falls. */
export interface Training {
  id: string;
  name: string;
  status: "requested" | "zipping" | "training" | "publishing" | "completed" | "failed" | "canceling" | "canceled";
  stage: Stage | null;
  progress: number;
  eta_s: number | null;
  phase: string | null;
  waiting_reason: string | null;
  step: number | null;
  steps: number | null;
  loss: number | null;
  error: TrainingError | null;
  stages: Array<TrainingStage>;
  cost: Cost | null;
  result: TrainingResult | null;
  trigger_word: string;
  base_model: string;
  parameters: TrainingParameters;
  publish: PublishOptions;
  image_ids: Array<string>;
  /** of the images that have one in this training, by their ids */
  captions: Record<string, string>;
  webhook_url: string | null;
  metadata: Record<string, string>;
  estimate: TrainingEstimate | null;
  trace_id: string | null;
  created_at: string;
  updated_at: string;
}

/** Why the training failed, and what to do. */
export interface TrainingError {
  stage: Stage;
  category: ErrorCategory;
  retryable: boolean;
  message: string;
  hint: string;
}

/** What the training was expected to take and cost when it was asked for; its real cost is `cost`. */
export interface TrainingEstimate {
  cost_usd: Spread;
  duration_s: Spread;
  assumptions: Array<string>;
}

/** Something that happened to a training; `id` is its place in the stream, growing but with gaps. */
export interface TrainingEvent {
  id: number;
  type: string;
  occurred_at: string;
  stage: string | null;
  category: string | null;
  attempt: number | null;
  duration_ms: number | null;
  data: Record<string, unknown>;
}

/** Events in the order of the stream; `next_cursor` is null where the history ends for now. */
export interface TrainingEventPage {
  items: Array<TrainingEvent>;
  next_cursor: number | null;
}

/** The bounds of a training's fields; `resolution` takes one to three of its options, joined by commas. */
export interface TrainingLimits {
  name: Length;
  trigger_word: Length;
  base_model: Choice;
  steps: IntegerRange;
  learning_rate: NumberRange;
  lora_rank: IntegerRange;
  resolution: Choice;
}

/** Some items, newest first; `next_cursor` is null on the last page. */
export interface TrainingPage {
  items: Array<Training>;
  next_cursor: string | null;
}

/** How to train; the bounds are those of `limits`, the meaning is the trainer's. */
export interface TrainingParameters {
  steps: number;
  learning_rate: number;
  lora_rank: number;
  resolution: string;
  autocaption: boolean;
}

/** How far the provider's run is, by its newest word; `percent` of the run, not of the whole pipeline. */
export interface TrainingProgress {
  at: string;
  percent: number;
  phase: string;
  step: number | null;
  steps: number | null;
  loss: number | null;
  eta_s: number | null;
}

/** What to train: 5 to 20 images that were uploaded before, and how. Without `publish` the model stays private. */
export interface TrainingRequest {
  name: string;
  trigger_word: string;
  image_ids: Array<string>;
  /** by image; an image that is not named here has its own caption, an empty text leaves it out */
  captions?: Record<string, string>;
  base_model?: "black-forest-labs/FLUX.1-dev";
  steps?: number;
  learning_rate?: number;
  lora_rank?: number;
  resolution?: string;
  autocaption?: boolean;
  publish?: PublishRequest;
  /** each change of the training's status is sent there as a signed webhook; a public https address */
  webhook_url?: string | null;
  metadata?: Record<string, string>;
}

/** What came out. */
export interface TrainingResult {
  model_id: string;
  provider_version: string | null;
  huggingface: HubPublication | null;
  weights_url: string;
}

/** One stage; `duration_ms` from its first start to its end, `estimate_s` what was expected of it in seconds. */
export interface TrainingStage {
  stage: Stage;
  status: "pending" | "running" | "retrying" | "succeeded" | "failed" | "canceled";
  attempts: number;
  started_at: string | null;
  ended_at: string | null;
  duration_ms: number | null;
  estimate_s: Spread | null;
}

/** A training's status has changed; `data` is the training as it was at that moment. */
export interface TrainingWebhook {
  type: "training.requested" | "training.zipping" | "training.training" | "training.publishing" | "training.completed" | "training.failed" | "training.canceling" | "training.canceled";
  timestamp: string;
  data: Training;
}

/** What became of each file, in the order in which they were sent. */
export interface UploadVerdicts {
  accepted: Array<Image>;
  rejected: Array<RejectedFile>;
}

/** What a running training waits for, and until when if that is known. */
export interface Waiting {
  reason: "retry" | "rate_limit" | "provider_queue" | "service" | "canceling";
  since: string;
  until: string | null;
}

/** The secret that webhooks are signed with; an older one signs along until `previous_expires_at`. */
export interface WebhookSecret {
  secret: string;
  created_at: string;
  previous_expires_at: string | null;
}

/** Where to send a test: a public https address. */
export interface WebhookTestRequest {
  url: string;
}

/** Every call: its method and path, what it takes, and what it answers when all goes well. */
export interface Operations {
  /** Upload photos in the multipart field `files` */
  upload_images: {
    method: "POST";
    path: "/v1/images";
    body: FormData;
    answer: UploadVerdicts;
  };
  /** The images, newest first */
  list_images: {
    method: "GET";
    path: "/v1/images";
    query?: {
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
    };
    answer: ImagePage;
  };
  /** Announce photos and get a link for each, which takes exactly this file, straight into the storage */
  create_image_upload: {
    method: "POST";
    path: "/v1/images/uploads";
    headers?: {
      /** a text unique to this request; sending it again changes nothing */
      "idempotency-key"?: string | null;
    };
    body: ImageUploadRequest;
    answer: ImageUpload;
  };
  /** What has arrived of an upload, with fresh links for what has not */
  get_image_upload: {
    method: "GET";
    path: "/v1/images/uploads/{upload_id}";
    parameters: {
      /** the id of an upload */
      upload_id: string;
    };
    answer: ImageUpload;
  };
  /** Look at the photos that have arrived */
  complete_image_upload: {
    method: "POST";
    path: "/v1/images/uploads/{upload_id}/complete";
    parameters: {
      /** the id of an upload */
      upload_id: string;
    };
    answer: UploadVerdicts;
  };
  /** Say whether images make a good training */
  review_images: {
    method: "POST";
    path: "/v1/images/review";
    body: ReviewRequest;
    answer: Review;
  };
  /** One image's facts */
  get_image: {
    method: "GET";
    path: "/v1/images/{image_id}";
    parameters: {
      /** the id of an image */
      image_id: string;
    };
    answer: Image;
  };
  /** Say what an image shows, for trainings that name no other caption for it */
  update_image: {
    method: "PATCH";
    path: "/v1/images/{image_id}";
    parameters: {
      /** the id of an image */
      image_id: string;
    };
    body: ImageChange;
    answer: Image;
  };
  /** Delete an image and its bytes */
  delete_image: {
    method: "DELETE";
    path: "/v1/images/{image_id}";
    parameters: {
      /** the id of an image */
      image_id: string;
    };
    answer: void;
  };
  /** The image as it was uploaded */
  get_image_content: {
    method: "GET";
    path: "/v1/images/{image_id}/content";
    parameters: {
      /** the id of an image */
      image_id: string;
    };
    answer: void;
  };
  /** A JPEG of at most 512 px on its longest side, upright */
  get_image_thumbnail: {
    method: "GET";
    path: "/v1/images/{image_id}/thumbnail";
    parameters: {
      /** the id of an image */
      image_id: string;
    };
    answer: void;
  };
  /** Estimate a training's cost and duration */
  estimate_training: {
    method: "POST";
    path: "/v1/trainings/estimate";
    body: EstimateRequest;
    answer: Estimate;
  };
  /** Ask for a training */
  create_training: {
    method: "POST";
    path: "/v1/trainings";
    headers?: {
      /** a text unique to this request; sending it again changes nothing */
      "idempotency-key"?: string | null;
    };
    body: TrainingRequest;
    answer: Training;
  };
  /** The trainings, newest first */
  list_trainings: {
    method: "GET";
    path: "/v1/trainings";
    query?: {
      /** only those of this status */
      status?: "requested" | "zipping" | "training" | "publishing" | "completed" | "failed" | "canceling" | "canceled" | null;
      /** a part of the name */
      q?: string | null;
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
    };
    answer: TrainingPage;
  };
  /** One training, as its events have told so far */
  get_training: {
    method: "GET";
    path: "/v1/trainings/{training_id}";
    parameters: {
      /** the id of a training */
      training_id: string;
    };
    answer: Training;
  };
  /** Delete a training with its model, its generations, its files and its repository */
  delete_training: {
    method: "DELETE";
    path: "/v1/trainings/{training_id}";
    parameters: {
      /** the id of a training */
      training_id: string;
    };
    query?: {
      /** leave the model's repository on Hugging Face */
      keep_repository?: boolean;
    };
    answer: void;
  };
  /** Stop a training */
  cancel_training: {
    method: "POST";
    path: "/v1/trainings/{training_id}/cancel";
    parameters: {
      /** the id of a training */
      training_id: string;
    };
    headers?: {
      /** a text unique to this request; sending it again changes nothing */
      "idempotency-key"?: string | null;
    };
    answer: Training;
  };
  /** Go on with a failed training, at the stage that failed and with what it has */
  retry_training: {
    method: "POST";
    path: "/v1/trainings/{training_id}/retry";
    parameters: {
      /** the id of a training */
      training_id: string;
    };
    headers?: {
      /** a text unique to this request; sending it again changes nothing */
      "idempotency-key"?: string | null;
    };
    answer: Training;
  };
  /** What happened, as it happens */
  list_training_events: {
    method: "GET";
    path: "/v1/trainings/{training_id}/events";
    parameters: {
      /** the id of a training */
      training_id: string;
    };
    query?: {
      /** only events with a greater id */
      after?: number | null;
      /** `next_cursor` of the page before */
      cursor?: number | null;
      /** how many events are listed at most */
      limit?: number;
      /** as the header Last-Event-ID */
      last_event_id?: string | null;
    };
    headers?: {
      /** the id of the last event that the client has; the stream goes on after it */
      "Last-Event-ID"?: string | null;
    };
    answer: TrainingEventPage | string;
  };
  /** Get a URL for an EventSource, which cannot send a key */
  create_event_ticket: {
    method: "POST";
    path: "/v1/trainings/{training_id}/events/ticket";
    parameters: {
      /** the id of a training */
      training_id: string;
    };
    answer: Ticket;
  };
  /** Where the training is and why */
  get_training_debug: {
    method: "GET";
    path: "/v1/trainings/{training_id}/debug";
    parameters: {
      /** the id of a training */
      training_id: string;
    };
    answer: DebugSummary;
  };
  /** What happened, in the order of time, and how long each stage worked and waited */
  get_training_timeline: {
    method: "GET";
    path: "/v1/trainings/{training_id}/debug/timeline";
    parameters: {
      /** the id of a training */
      training_id: string;
    };
    answer: DebugTimeline;
  };
  /** Every event of the training with its headers, as NDJSON */
  export_training_debug: {
    method: "GET";
    path: "/v1/trainings/{training_id}/debug/export";
    parameters: {
      /** the id of a training */
      training_id: string;
    };
    query?: {
      /** ndjson for programs, html for a report with pictures */
      format?: "ndjson" | "html";
    };
    answer: string;
  };
  /** What the services logged while they worked on the training, the oldest entries first */
  list_training_logs: {
    method: "GET";
    path: "/v1/trainings/{training_id}/debug/logs";
    parameters: {
      /** the id of a training */
      training_id: string;
    };
    query?: {
      /** which entry comes first */
      order?: "oldest" | "newest";
      /** how many entries a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
      /** those of this level and above */
      level?: "debug" | "info" | "warning" | "error" | "critical";
      /** those of this service */
      service?: string | null;
      /** a part of the event, the logger or a field */
      q?: string | null;
      /** from this time on */
      since?: string | null;
      /** before this time */
      until?: string | null;
    };
    answer: LogEntryPage;
  };
  /** The models, newest first */
  list_models: {
    method: "GET";
    path: "/v1/models";
    query?: {
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
    };
    answer: ModelPage;
  };
  /** One model */
  get_model: {
    method: "GET";
    path: "/v1/models/{model_id}";
    parameters: {
      /** the id of a model */
      model_id: string;
    };
    answer: Model;
  };
  /** The way to the .safetensors */
  download_weights: {
    method: "GET";
    path: "/v1/models/{model_id}/weights";
    parameters: {
      /** the id of a model */
      model_id: string;
    };
    answer: void;
  };
  /** Make images for the model's card on Hugging Face */
  create_samples: {
    method: "POST";
    path: "/v1/models/{model_id}/samples";
    parameters: {
      /** the id of a model */
      model_id: string;
    };
    headers?: {
      /** a text unique to this request; sending it again changes nothing */
      "idempotency-key"?: string | null;
    };
    body: SamplesRequest;
    answer: Samples;
  };
  /** Estimate the cost of images, with a trained model or without */
  estimate_generation: {
    method: "POST";
    path: "/v1/generations/estimate";
    body: GenerationRequest;
    answer: GenerationEstimate;
  };
  /** Ask for images with a trained LoRA */
  generate_with_model: {
    method: "POST";
    path: "/v1/models/{model_id}/generations";
    parameters: {
      /** the id of a model */
      model_id: string;
    };
    headers?: {
      /** a text unique to this request; sending it again changes nothing */
      "idempotency-key"?: string | null;
    };
    body: GenerationRequest;
    answer: Generation;
  };
  /** Ask for images with the base model */
  generate_with_base_model: {
    method: "POST";
    path: "/v1/generations";
    headers?: {
      /** a text unique to this request; sending it again changes nothing */
      "idempotency-key"?: string | null;
    };
    body: GenerationRequest;
    answer: Generation;
  };
  /** The generations, newest first */
  list_generations: {
    method: "GET";
    path: "/v1/generations";
    query?: {
      /** only those with this model */
      model_id?: string | null;
      /** only those of this status */
      status?: "requested" | "running" | "succeeded" | "failed" | "canceled" | null;
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
    };
    answer: GenerationPage;
  };
  /** One generation */
  get_generation: {
    method: "GET";
    path: "/v1/generations/{generation_id}";
    parameters: {
      /** the id of a generation */
      generation_id: string;
    };
    answer: Generation;
  };
  /** An image of a generation, as its link gives it, for clients that cannot follow the link */
  get_generated_image: {
    method: "GET";
    path: "/v1/generations/{generation_id}/images/{index}";
    parameters: {
      /** the id of a generation */
      generation_id: string;
      /** its place among the generation's images, from 0 */
      index: number;
    };
    answer: void;
  };
  /** Stop a generation */
  cancel_generation: {
    method: "POST";
    path: "/v1/generations/{generation_id}/cancel";
    parameters: {
      /** the id of a generation */
      generation_id: string;
    };
    headers?: {
      /** a text unique to this request; sending it again changes nothing */
      "idempotency-key"?: string | null;
    };
    answer: Generation;
  };
  /** Take Replicate's word that a training moved */
  receive_replicate_webhook: {
    method: "POST";
    path: "/v1/webhooks/replicate";
    body: {
      id: string;
      status?: string;
    };
    answer: Received;
  };
  /** The secret that your webhooks are signed with */
  get_webhook_secret: {
    method: "GET";
    path: "/v1/webhooks/secret";
    answer: WebhookSecret;
  };
  /** Replace the secret */
  rotate_webhook_secret: {
    method: "POST";
    path: "/v1/webhooks/secret/rotate";
    answer: WebhookSecret;
  };
  /** What was sent or is to be sent, newest first */
  list_webhook_deliveries: {
    method: "GET";
    path: "/v1/webhooks/deliveries";
    query?: {
      /** only those of this training */
      training_id?: string | null;
      /** only those of this status */
      status?: "pending" | "delivered" | "failed" | null;
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
    };
    answer: DeliveryPage;
  };
  /** One delivery with what it says and each attempt at it */
  get_webhook_delivery: {
    method: "GET";
    path: "/v1/webhooks/deliveries/{delivery_id}";
    parameters: {
      /** the id of a webhook delivery */
      delivery_id: string;
    };
    answer: DeliveryDetail;
  };
  /** Send a delivery again, now, with the same body and `webhook-id`, whatever became of it before */
  redeliver_webhook: {
    method: "POST";
    path: "/v1/webhooks/deliveries/{delivery_id}/redeliver";
    parameters: {
      /** the id of a webhook delivery */
      delivery_id: string;
    };
    answer: Delivery;
  };
  /** Send a webhook of the type `webhook.test`, once */
  send_test_webhook: {
    method: "POST";
    path: "/v1/webhooks/test";
    headers?: {
      /** a text unique to this request; sending it again changes nothing */
      "idempotency-key"?: string | null;
    };
    body: WebhookTestRequest;
    answer: Delivery;
  };
  /** Everything that the API accepts */
  get_limits: {
    method: "GET";
    path: "/v1/limits";
    answer: Limits;
  };
  /** Whom this API key speaks for, what may be spent this month, and how much runs */
  get_me: {
    method: "GET";
    path: "/v1/me";
    answer: Account;
  };
  /** The owner's API keys, newest first, those that have ended too */
  list_keys: {
    method: "GET";
    path: "/v1/keys";
    query?: {
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
    };
    answer: KeyPage;
  };
  /** Make an API key, which is shown only in this answer */
  create_key: {
    method: "POST";
    path: "/v1/keys";
    headers?: {
      /** a text unique to this request; sending it again changes nothing */
      "idempotency-key"?: string | null;
    };
    body: KeyRequest;
    answer: NewKey;
  };
  /** One API key's facts, also after it has ended */
  get_key: {
    method: "GET";
    path: "/v1/keys/{key_id}";
    parameters: {
      /** the id of an API key (not the key) */
      key_id: string;
    };
    answer: Key;
  };
  /** Revoke an API key, within ten seconds everywhere */
  revoke_key: {
    method: "DELETE";
    path: "/v1/keys/{key_id}";
    parameters: {
      /** the id of an API key (not the key) */
      key_id: string;
    };
    answer: void;
  };
  /** The owner's calls that were to change something, and those that were refused, newest first */
  list_audit: {
    method: "GET";
    path: "/v1/audit";
    query?: {
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
    };
    answer: AuditEntryPage;
  };
  /** All owners, by name */
  list_owners: {
    method: "GET";
    path: "/v1/admin/owners";
    query?: {
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
    };
    answer: OwnerPage;
  };
  /** One owner */
  get_owner: {
    method: "GET";
    path: "/v1/admin/owners/{owner}";
    parameters: {
      /** the name of an owner */
      owner: string;
    };
    answer: Owner;
  };
  /** Change an owner's limits */
  update_owner: {
    method: "PATCH";
    path: "/v1/admin/owners/{owner}";
    parameters: {
      /** the name of an owner */
      owner: string;
    };
    body: OwnerChange;
    answer: Owner;
  };
  /** An owner's API keys, newest first, those that have ended too */
  list_keys_of_owner: {
    method: "GET";
    path: "/v1/admin/owners/{owner}/keys";
    parameters: {
      /** the name of an owner */
      owner: string;
    };
    query?: {
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
    };
    answer: KeyPage;
  };
  /** Make an API key for an owner, which is shown only in this answer */
  create_key_of_owner: {
    method: "POST";
    path: "/v1/admin/owners/{owner}/keys";
    parameters: {
      /** the name of an owner */
      owner: string;
    };
    headers?: {
      /** a text unique to this request; sending it again changes nothing */
      "idempotency-key"?: string | null;
    };
    body: KeyRequest;
    answer: NewKey;
  };
  /** Any owner's API key */
  get_key_of_owner: {
    method: "GET";
    path: "/v1/admin/keys/{key_id}";
    parameters: {
      /** the id of an API key (not the key) */
      key_id: string;
    };
    answer: Key;
  };
  /** Revoke any owner's API key, within ten seconds everywhere */
  revoke_key_of_owner: {
    method: "DELETE";
    path: "/v1/admin/keys/{key_id}";
    parameters: {
      /** the id of an API key (not the key) */
      key_id: string;
    };
    answer: void;
  };
  /** All owners' calls that were to change something, and all that were refused, newest first */
  list_audit_of_owners: {
    method: "GET";
    path: "/v1/admin/audit";
    query?: {
      /** only the calls of this owner */
      owner?: string | null;
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
    };
    answer: AuditEntryPage;
  };
  /** How long attempts at a stage took, by provider and by how they ended, as percentiles */
  list_stage_durations: {
    method: "GET";
    path: "/v1/admin/insights/stages";
    query?: {
      /** a row for each hour or day (UTC) instead of one for the whole span */
      bucket?: "hour" | "day" | null;
      /** only this stage */
      stage?: Stage | null;
      /** only this provider, like replicate, huggingface, storage */
      provider?: string | null;
      /** only work of services of this version */
      version?: string | null;
      /** from this time on; 7 days before `until` if left out, 400 days at most */
      since?: string | null;
      /** before this time; now if left out */
      until?: string | null;
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
    };
    answer: StageDurationsPage;
  };
  /** Which share of the attempts failed, by stage, provider, version and category of error */
  list_failure_rates: {
    method: "GET";
    path: "/v1/admin/insights/failures";
    query?: {
      /** a row for each hour or day (UTC) instead of one for the whole span */
      bucket?: "hour" | "day" | null;
      /** only this stage */
      stage?: Stage | null;
      /** only this provider, like replicate, huggingface, storage */
      provider?: string | null;
      /** only work of services of this version */
      version?: string | null;
      /** only this error category */
      category?: ErrorCategory | null;
      /** from this time on; 7 days before `until` if left out, 400 days at most */
      since?: string | null;
      /** before this time; now if left out */
      until?: string | null;
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
    };
    answer: FailureRatePage;
  };
  /** Everybody's trainings that were requested in the span */
  list_jobs: {
    method: "GET";
    path: "/v1/admin/insights/jobs";
    query?: {
      /** which come first */
      sort?: "newest" | "slowest" | "costliest";
      /** only those of this status */
      status?: "running" | "succeeded" | "failed" | "canceled" | null;
      /** only this stage */
      stage?: Stage | null;
      /** only this error category */
      category?: ErrorCategory | null;
      /** only this provider, like replicate, huggingface, storage */
      provider?: string | null;
      /** only trainings of this owner */
      owner?: string | null;
      /** a part of the name, the message, or an id */
      q?: string | null;
      /** those that took so many milliseconds or more */
      min_duration_ms?: number | null;
      /** whether they are silent for longer than their stage takes */
      stuck?: boolean | null;
      /** from this time on; 7 days before `until` if left out, 400 days at most */
      since?: string | null;
      /** before this time; now if left out */
      until?: string | null;
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
    };
    answer: JobInsightPage;
  };
  /** Whether trying again helped, by stage, category of error, and who tried again */
  list_retries: {
    method: "GET";
    path: "/v1/admin/insights/retries";
    query?: {
      /** only this stage */
      stage?: Stage | null;
      /** only this error category */
      category?: ErrorCategory | null;
      /** only this provider, like replicate, huggingface, storage */
      provider?: string | null;
      /** only work of services of this version */
      version?: string | null;
      /** from this time on; 7 days before `until` if left out, 400 days at most */
      since?: string | null;
      /** before this time; now if left out */
      until?: string | null;
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
    };
    answer: RetryInsightPage;
  };
  /** How long attempts took that talk to a provider, whatever came of them, as percentiles */
  list_provider_latencies: {
    method: "GET";
    path: "/v1/admin/insights/providers";
    query?: {
      /** a row for each hour or day (UTC) instead of one for the whole span */
      bucket?: "hour" | "day" | null;
      /** only this stage */
      stage?: Stage | null;
      /** only this provider, like replicate, huggingface, storage */
      provider?: string | null;
      /** only work of services of this version */
      version?: string | null;
      /** from this time on; 7 days before `until` if left out, 400 days at most */
      since?: string | null;
      /** before this time; now if left out */
      until?: string | null;
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
    };
    answer: ProviderLatencyPage;
  };
  /** What trainings have cost at the providers, and how much of it for those that failed or were canceled */
  list_provider_costs: {
    method: "GET";
    path: "/v1/admin/insights/costs";
    query?: {
      /** a row for each hour or day (UTC) instead of one for the whole span */
      bucket?: "hour" | "day" | null;
      /** only this provider, like replicate, huggingface, storage */
      provider?: string | null;
      /** only trainings of this owner */
      owner?: string | null;
      /** from this time on; 7 days before `until` if left out, 400 days at most */
      since?: string | null;
      /** before this time; now if left out */
      until?: string | null;
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
    };
    answer: ProviderCostsPage;
  };
  /** What the rules have found, newest first */
  list_alerts: {
    method: "GET";
    path: "/v1/admin/alerts";
    query?: {
      /** only those of this status */
      status?: "open" | "resolved" | null;
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: number | null;
    };
    answer: AlertIncidentPage;
  };
  /** The rules in force, the channels that notices go to, and the quiet hours */
  list_alert_rules: {
    method: "GET";
    path: "/v1/admin/alerts/rules";
    answer: AlertRules;
  };
  /** Send a test notice through every channel now, and say of each whether it took it */
  send_test_alert: {
    method: "POST";
    path: "/v1/admin/alerts/test";
    answer: AlertTest;
  };
  /** What all services logged, whatever it was about, the newest entries first */
  list_logs: {
    method: "GET";
    path: "/v1/admin/logs";
    query?: {
      /** which entry comes first */
      order?: "oldest" | "newest";
      /** how many entries a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: string | null;
      /** those of this level and above */
      level?: "debug" | "info" | "warning" | "error" | "critical";
      /** those of this service */
      service?: string | null;
      /** a part of the event, the logger or a field */
      q?: string | null;
      /** from this time on */
      since?: string | null;
      /** before this time */
      until?: string | null;
    };
    answer: LogEntryPage;
  };
  /** The dead letters, oldest first, without their messages */
  list_dead_letters: {
    method: "GET";
    path: "/v1/admin/dead-letters";
    query?: {
      /** only those of this consumer */
      durable?: string | null;
      /** how many items a page has at most */
      limit?: number;
      /** `next_cursor` of the page before */
      cursor?: number | null;
    };
    answer: DeadLetterPage;
  };
  /** One dead letter with its message */
  get_dead_letter: {
    method: "GET";
    path: "/v1/admin/dead-letters/{number}";
    parameters: {
      /** the dead letter's number */
      number: number;
    };
    answer: DeadLetterDetail;
  };
  /** Remove a dead letter and its message for good */
  drop_dead_letter: {
    method: "DELETE";
    path: "/v1/admin/dead-letters/{number}";
    parameters: {
      /** the dead letter's number */
      number: number;
    };
    answer: void;
  };
  /** Publish its message again as it was, and remove the letter */
  replay_dead_letter: {
    method: "POST";
    path: "/v1/admin/dead-letters/{number}/replay";
    parameters: {
      /** the dead letter's number */
      number: number;
    };
    answer: DeadLetterReplay;
  };
  /** Every service that reads events */
  get_health: {
    method: "GET";
    path: "/v1/admin/health";
    answer: SystemHealth;
  };
}

/** What is sent to a webhook_url, by its type. */
export interface Webhooks {
  "training.{status}": TrainingWebhook;
  "webhook.test": TestWebhook;
}
