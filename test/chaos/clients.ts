import { createHash } from "node:crypto";
import { Agent, get, type IncomingMessage, request } from "node:http";
import { fileURLToPath } from "node:url";
import { loadPackageDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { grpcJsCall, grpcJsClient } from "../support/grpc-js.ts";
import { now, type Outcome, type SessionState, type Shown } from "./history.ts";

/** How a call ended, as one protocol shows it. */
export interface Answer {
  readonly outcome: Outcome;
  readonly detail?: string | undefined;
  /** Of `create`. */
  readonly session?: string | undefined;
  readonly shown?: Shown | undefined;
  /** Of `prepare` and `fileGet`: the download link. */
  readonly link?: string | undefined;
  /** Of `download`: when the first byte came. */
  readonly firstByteAt?: number | undefined;
  /** Of `download`: when the last one came, or when it was cut. */
  readonly endedAt?: number | undefined;
}

/** The operations of a download session for one principal by one protocol. No call rejects. */
export interface SessionClient extends Disposable {
  readonly protocol: string;
  create(item: string, token: string | undefined): Promise<Answer>;
  get(id: string): Promise<Answer>;
  keepAlive(id: string, progress: number | undefined): Promise<Answer>;
  cancel(id: string): Promise<Answer>;
  fail(id: string, mark: string): Promise<Answer>;
  delete(id: string): Promise<Answer>;
  list(): Promise<Answer>;
  prepare(id: string, file: string): Promise<Answer>;
  fileGet(id: string, file: string): Promise<Answer>;
}

export interface ClientOptions {
  /** `http://host:port` */
  readonly url: string;
  /** Value of the `Authorization` header. */
  readonly authorization: string;
  /** How long a call may take, in milliseconds; 6 s by default. */
  readonly deadlineMs?: number;
}

const grpcInterface = loadPackageDefinition(
  loadSync(
    ["content/library/item/v1/download_session.proto", "content/library/item/downloadsession/v1/file.proto"],
    {
      keepCase: true,
      longs: Number,
      enums: String,
      includeDirs: [fileURLToPath(new URL("../../proto", import.meta.url))],
    },
  ),
);

/** Reconnects fast: a client that waits long after a fault sees little of what comes after it. */
const channelOptions = {
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 300,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_retries": 0,
};

/** Numbers of gRPC status codes, see https://grpc.io/docs/guides/status-codes/. */
const grpcOutcomes: Readonly<Record<number, Outcome>> = {
  0: "ok",
  1: "unknown", // CANCELLED
  4: "unknown", // DEADLINE_EXCEEDED
  5: "not_found",
  8: "unknown", // RESOURCE_EXHAUSTED
  9: "not_active", // FAILED_PRECONDITION
  14: "unknown", // UNAVAILABLE
};

export function grpcClient({ url, authorization, deadlineMs = 6000 }: ClientOptions): SessionClient {
  const session = "content.library.item.v1.DownloadSessionService";
  const sessions = grpcJsClient(grpcInterface, session, url, channelOptions);
  const file = "content.library.item.downloadsession.v1.FileService";
  const files = grpcJsClient(grpcInterface, file, url, channelOptions);
  const headers = { authorization };
  // biome-ignore lint/suspicious/noExplicitAny: replies of several shapes, as the proto files have them
  type Read = (reply: any) => Omit<Answer, "outcome">;
  const call = async (client: typeof sessions, method: string, message: object, read: Read = () => ({})) => {
    const deadline = Date.now() + deadlineMs;
    const { code, details, reply } = await grpcJsCall(client, method, message, { headers, deadline });
    const outcome = grpcOutcomes[code] ?? (isCutConnection(details) ? "unknown" : "unexpected");
    if (outcome === "ok") return { outcome, ...read(reply) };
    // 503 comes from the load balancer alone: the service answers gRPC with 200.
    const isUnsent = code === 14 && /HTTP status code 503|No connection established/.test(details);
    return { outcome: isUnsent ? "not_sent" : outcome, detail: `${code} ${details}` } satisfies Answer;
  };
  const target = (id: string) => ({ download_session_id: id });
  return {
    protocol: "grpc",
    create: (item, token) =>
      call(
        sessions,
        "Create",
        { ...(token !== undefined && { client_token: token }), create_spec: { library_item_id: item } },
        (reply) => ({ session: reply.download_session_id }),
      ),
    get: (id) =>
      call(sessions, "Get", target(id), ({ download_session: model }) => ({
        shown: sessionShown({
          ...model,
          state: model.state.replace("STATE_", ""),
          expiresAt: millisecondsOf(model.expiration_time),
        }),
      })),
    keepAlive: (id, progress) =>
      call(
        sessions,
        "KeepAlive",
        { ...target(id), ...(progress !== undefined && { progress }) },
        (reply) => ({
          shown: { progress: reply.client_progress ?? 0, expiresAt: millisecondsOf(reply.expiration_time) },
        }),
      ),
    cancel: (id) => call(sessions, "Cancel", target(id)),
    fail: (id, mark) => call(sessions, "Fail", { ...target(id), client_error_message: mark }),
    delete: (id) => call(sessions, "Delete", target(id)),
    list: () =>
      call(sessions, "List", {}, ({ download_session_ids: ids = [] }) => ({
        shown: { ids: new Set<string>(ids) },
      })),
    prepare: (id, file_name) =>
      call(files, "Prepare", { ...target(id), file_name }, ({ file }) => fileShown(file)),
    fileGet: (id, file_name) =>
      call(files, "Get", { ...target(id), file_name }, ({ file }) => fileShown(file)),
    [Symbol.dispose]() {
      sessions.close();
      files.close();
    },
  };
}

/** What grpc-js says when a stream is reset: its code is INTERNAL as often as UNAVAILABLE. */
function isCutConnection(details: string): boolean {
  return /RST_STREAM|HTTP status code 50[24]|Stream (was )?refused|Connection dropped|stream/i.test(details);
}

function millisecondsOf({ seconds = 0, nanos = 0 }: { seconds?: number; nanos?: number }): number {
  return seconds * 1000 + Math.floor(nanos / 1e6);
}

const restPath = "/api/content/library/item/download-session";
const restOutcomes: Readonly<Record<string, Outcome>> = {
  NOT_FOUND: "not_found",
  NOT_ALLOWED_IN_CURRENT_STATE: "not_active",
  SERVICE_UNAVAILABLE: "unknown",
  TIMED_OUT: "unknown",
};

export function restClient({ url, authorization, deadlineMs = 6000 }: ClientOptions): SessionClient {
  const agent = new Agent({ keepAlive: true });
  const headers = { authorization, "content-type": "application/json" };
  // biome-ignore lint/suspicious/noExplicitAny: bodies of several shapes, as docs/rest.md has them
  type Read = (body: any) => Omit<Answer, "outcome">;
  const call = async (
    method: string,
    path: string,
    body?: object,
    read: Read = () => ({}),
    more: Record<string, string> = {},
  ): Promise<Answer> => {
    const options = { agent, method, headers: { ...headers, ...more } };
    const { status, text, error } = await send(url + restPath + path, options, body, deadlineMs);
    if (error === "ECONNREFUSED") return { outcome: "not_sent", detail: error };
    if (error !== undefined) return { outcome: "unknown", detail: error };
    const json = parsed(text);
    if (status < 300) {
      return json === undefined ? { outcome: "unexpected", detail: text } : { outcome: "ok", ...read(json) };
    }
    // Of the load balancer itself: no replica was there to take the call.
    if (text.includes("downlease.balancer.no_replica")) return { outcome: "not_sent", detail: "no replica" };
    const detail = `${status} ${text.slice(0, 200)}`;
    const type = json?.error_type ?? json?.value?.error_type;
    // HAProxy's own pages for a replica that closed the connection, or did not answer.
    if (type === undefined && status >= 502) return { outcome: "unknown", detail };
    return { outcome: restOutcomes[type] ?? "unexpected", detail };
  };
  return {
    protocol: "rest",
    create: (item, token) =>
      call(
        "POST",
        "",
        { library_item_id: item },
        (id) => ({ session: id }),
        token === undefined ? {} : { "client-token": token },
      ),
    get: (id) =>
      call("GET", `/${id}`, undefined, (model) => ({
        shown: sessionShown({ ...model, expiresAt: Date.parse(model.expiration_time) }),
      })),
    keepAlive: (id, progress) =>
      call("POST", `/${id}?action=keep-alive`, progress === undefined ? {} : { progress }),
    cancel: (id) => call("POST", `/${id}?action=cancel`),
    fail: (id, mark) => call("POST", `/${id}?action=fail`, { client_error_message: mark }),
    delete: (id) => call("DELETE", `/${id}`),
    list: () => call("GET", "", undefined, (ids) => ({ shown: { ids: new Set<string>(ids) } })),
    prepare: (id, file_name) => call("POST", `/${id}/file?action=prepare`, { file_name }, fileShown),
    fileGet: (id, file_name) => call("GET", `/${id}/file?file_name=${file_name}`, undefined, fileShown),
    [Symbol.dispose]: () => agent.destroy(),
  };
}

interface Model {
  readonly state: SessionState;
  readonly client_progress?: number;
  readonly library_item_id: string;
  readonly error_message?: { readonly default_message: string } | null;
  readonly expiresAt: number;
}

function sessionShown({ state, client_progress, library_item_id, error_message, expiresAt }: Model): Shown {
  const mark = error_message?.default_message;
  const shown = { state, progress: client_progress ?? 0, expiresAt, item: library_item_id };
  return { ...shown, ...(mark !== undefined && { mark }) };
}

function fileShown(file: { readonly download_endpoint?: { readonly uri?: string } | null }) {
  const link = file.download_endpoint?.uri;
  return { link, shown: { hasLink: link !== undefined } };
}

interface RawAnswer {
  readonly status: number;
  readonly text: string;
  /** Error code when there was no whole answer. */
  readonly error?: string;
}

function send(
  url: string,
  options: object,
  body: object | undefined,
  deadlineMs: number,
): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const fail = (reason: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      resolve({ status: 0, text: "", error: reason.code ?? reason.message });
    };
    const call = request(url, options, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => {
        clearTimeout(timer);
        resolve({ status: response.statusCode!, text });
      });
      response.on("error", fail);
    });
    const timer = setTimeout(() => call.destroy(new Error("no answer in time")), deadlineMs);
    call.on("error", fail);
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

// biome-ignore lint/suspicious/noExplicitAny: bodies of several shapes
function parsed(text: string): any {
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export interface DownloadOptions {
  readonly link: string;
  /** In hexadecimal. */
  readonly sha256: string;
  readonly agent: Agent;
  /** Reads no faster than this. */
  readonly bytesPerSecond?: number;
  /** Gives it up. */
  readonly signal?: AbortSignal;
}

/** Reads a link to its end. What was cut is `ok` as well: its link was open. */
export function download(options: DownloadOptions): Promise<Answer> {
  const { link, sha256, agent, bytesPerSecond, signal } = options;
  return new Promise((resolve) => {
    const call = get(link, { agent, timeout: 8000, ...(signal && { signal }) }, (response) => {
      const firstByteAt = now();
      if (response.statusCode !== 200) {
        response.resume();
        resolve({ ...refusalOf(response), firstByteAt });
        return;
      }
      const hash = createHash("sha256");
      let bytes = 0;
      response.on("error", (reason: NodeJS.ErrnoException) => {
        const detail = `cut after ${bytes} bytes: ${reason.code ?? reason.message}`;
        // Where the client gave up nothing was cut.
        resolve({ outcome: "ok", detail, firstByteAt, ...(!signal?.aborted && { endedAt: now() }) });
      });
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        hash.update(chunk);
        if (bytesPerSecond === undefined) return;
        response.pause();
        const wait = firstByteAt + (bytes / bytesPerSecond) * 1000 - now();
        setTimeout(() => response.resume(), Math.max(1, wait));
      });
      response.on("end", () => {
        const digest = hash.digest("hex");
        const damage = `It ended without an error after ${bytes} bytes with SHA-256 ${digest} instead of ${sha256}.`;
        resolve({
          outcome: "ok",
          firstByteAt,
          endedAt: now(),
          ...(digest !== sha256 && { shown: { damage } }),
        });
      });
    });
    call.on("timeout", () => call.destroy(new Error("no bytes in time")));
    call.on("error", (reason: NodeJS.ErrnoException) =>
      resolve({ outcome: "unknown", detail: reason.code ?? reason.message }),
    );
  });
}

function refusalOf({ statusCode }: IncomingMessage): Answer {
  if (statusCode === 404) return { outcome: "not_found", detail: "404" };
  const outcome = statusCode === 502 || statusCode === 503 || statusCode === 504 ? "unknown" : "unexpected";
  return { outcome, detail: String(statusCode) };
}
