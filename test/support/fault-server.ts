import { createCipheriv, createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  FileService,
  FileInfo_PrepareStatus as Status,
} from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import {
  DownloadSessionService,
  DownloadSessionModel_State as State,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { ChecksumInfo_ChecksumAlgorithm as Algorithm } from "../../gen/content/library/item/v1/item_file_pb.ts";
import { ItemService } from "../../gen/content/library/v1/item_pb.ts";
import { type Fault, type FileRequest, sendFile } from "./faulty-file.ts";

export type { Fault, FileRequest };

interface Digests {
  readonly sha256: string;
  readonly sha1: string;
}

interface ServedSession {
  readonly id: string;
  readonly token: string;
  readonly contentVersion: string;
  state: State;
  expiresAt: number;
  progress: number;
  readonly prepared: Map<string, number>;
}

export interface FaultServerOptions {
  readonly leaseMs?: number;
  /** Milliseconds that the server's clock is ahead, in the `Date` header and in the ends of leases. */
  readonly clockAheadMs?: number;
  readonly port?: number;
}

/**
 * A server with one item, `item`. It implements the services that downloads use, and serves the files with the faults
 * that a test sets. Sessions are kept in memory and survive a restart.
 */
export class FaultServer implements AsyncDisposable {
  readonly files = new Map<string, Buffer>();
  contentVersion = "v1";
  leaseMs: number;
  /** Faults of the next responses to downloads, one each. */
  readonly faults: Fault[] = [];
  /** Chooses the fault of a response without one of its own. */
  faultOf: (request: FileRequest) => Fault | undefined = () => undefined;
  /** Fault of every response without a fault of its own. */
  everyFault: Fault | undefined;
  /** Number of Get calls that report a file as being prepared. */
  preparingPolls = 0;
  /** Whether a file that is being prepared can be read already. */
  isReadableEarly = false;
  /** Error messages of files that can't be prepared. */
  readonly errors = new Map<string, string>();
  /** Checksums to send instead of the right ones. */
  readonly wrongChecksums = new Map<string, string>();
  /** Changes the sizes that calls report. */
  reportedSize: (size: bigint) => bigint = (size) => size;
  /** Called before each call; may throw to fail it. */
  beforeCall: (method: string) => void = () => {};
  /** Called for each download before it is answered. */
  onFileRequest: (request: FileRequest) => void = () => {};
  /** Base of the links instead of the URL of this server. */
  linkBase: string | undefined;
  readonly fileRequests: FileRequest[] = [];
  /** The calls that ended sessions, in order: `delete`, `cancel` or `fail: <text>`. */
  readonly ends: string[] = [];
  readonly heartbeats: number[] = [];
  created = 0;
  connections = 0;
  readonly #clockAheadMs: number;
  readonly #sessions = new Map<string, ServedSession>();
  readonly #digests = new WeakMap<Buffer, Digests>();
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port: number;

  private constructor({ leaseMs = 60_000, clockAheadMs = 0, port = 0 }: FaultServerOptions) {
    this.leaseMs = leaseMs;
    this.#clockAheadMs = clockAheadMs;
    this.#port = port;
  }

  static async start(options: FaultServerOptions = {}): Promise<FaultServer> {
    const server = new FaultServer(options);
    await server.listen();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get sessions(): readonly ServedSession[] {
    return [...this.#sessions.values()];
  }

  /** Adds a file of pseudo-random bytes. */
  addFile(name: string, size: number, seed = name): Buffer {
    const key = createHash("sha256").update(seed).digest();
    const bytes = createCipheriv("aes-256-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(size));
    this.files.set(name, bytes);
    return bytes;
  }

  /** Ends all sessions as if their leases had expired. */
  expireSessions(): void {
    this.#sessions.clear();
  }

  async listen(): Promise<void> {
    const rpc = connectNodeAdapter({ routes: (router) => this.#routes(router) });
    this.#server = createServer((request, response) => {
      if (this.#clockAheadMs !== 0) {
        response.setHeader("date", new Date(Date.now() + this.#clockAheadMs).toUTCString());
      }
      if (request.url?.startsWith("/download/")) return this.#serveFile(request, response);
      rpc(request, response);
    });
    this.#server.on("connection", (socket) => {
      this.connections += 1;
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket)).on("error", () => {});
    });
    this.#server.listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Resets every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Resets every connection and accepts no more, as after a crash. */
  async crash(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, "close");
    server.close();
    this.cut();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.crash();
  }

  #routes(router: ConnectRouter): void {
    router.service(DownloadSessionService, {
      create: ({ clientToken, createSpec }) => {
        this.beforeCall("create");
        if (createSpec?.libraryItemId !== "item") throw new ConnectError("no such item", Code.NotFound);
        const id = clientToken ?? crypto.randomUUID();
        if (this.#live(id) === undefined) {
          this.created += 1;
          this.#sessions.set(id, {
            id,
            token: id,
            contentVersion: this.contentVersion,
            state: State.ACTIVE,
            expiresAt: Date.now() + this.leaseMs,
            progress: 0,
            prepared: new Map(),
          });
        }
        return { downloadSessionId: id };
      },
      get: ({ downloadSessionId }) => {
        this.beforeCall("get");
        const { state, contentVersion } = this.#require(downloadSessionId);
        return { downloadSession: { state, libraryItemContentVersion: contentVersion } };
      },
      keepAlive: ({ downloadSessionId, progress }) => {
        this.beforeCall("keepAlive");
        const session = this.#requireActive(downloadSessionId);
        this.heartbeats.push(performance.now());
        session.progress = Math.max(session.progress, Number(progress ?? 0n));
        session.expiresAt = Math.max(session.expiresAt, Date.now() + this.leaseMs);
        return {
          expirationTime: timestampFromMs(session.expiresAt + this.#clockAheadMs),
          clientProgress: BigInt(session.progress),
        };
      },
      cancel: ({ downloadSessionId }) => {
        this.beforeCall("cancel");
        this.#requireActive(downloadSessionId).state = State.CANCELED;
        this.ends.push("cancel");
        return {};
      },
      fail: ({ downloadSessionId, clientErrorMessage }) => {
        this.beforeCall("fail");
        this.#requireActive(downloadSessionId).state = State.ERROR;
        this.ends.push(`fail: ${clientErrorMessage}`);
        return {};
      },
      delete: ({ downloadSessionId }) => {
        this.beforeCall("delete");
        this.#require(downloadSessionId);
        this.#sessions.delete(downloadSessionId);
        this.ends.push("delete");
        return {};
      },
    });
    router.service(FileService, {
      list: ({ downloadSessionId }) => {
        this.beforeCall("list");
        const session = this.#require(downloadSessionId);
        return { files: [...this.files.keys()].map((name) => this.#info(session, name)) };
      },
      prepare: ({ downloadSessionId, fileName }) => {
        this.beforeCall("prepare");
        const session = this.#requireActive(downloadSessionId);
        if (!session.prepared.has(fileName)) session.prepared.set(fileName, this.preparingPolls);
        return { file: this.#info(session, fileName) };
      },
      get: ({ downloadSessionId, fileName }) => {
        this.beforeCall("getFile");
        const session = this.#require(downloadSessionId);
        const left = session.prepared.get(fileName);
        if (left !== undefined) session.prepared.set(fileName, Math.max(0, left - 1));
        return { file: this.#info(session, fileName) };
      },
    });
    router.service(ItemService, {
      get: () => {
        this.beforeCall("getItem");
        return { libraryItem: { contentVersion: this.contentVersion } };
      },
    });
  }

  #info(session: ServedSession, name: string) {
    const bytes = this.files.get(name);
    if (bytes === undefined) throw new ConnectError("no such file", Code.InvalidArgument);
    const size = this.reportedSize(BigInt(bytes.length));
    const changed = session.contentVersion !== this.contentVersion;
    const error = changed ? "the item has changed" : this.errors.get(name);
    if (error !== undefined)
      return { name, size, status: Status.ERROR, errorMessage: { defaultMessage: error } };
    const left = session.prepared.get(name);
    if (left === undefined) return { name, size, status: Status.UNPREPARED };
    if (left > 0 && !this.isReadableEarly) return { name, size, status: Status.PREPARING };
    const digests = this.#digestsOf(bytes);
    const sha256 = this.wrongChecksums.get(name) ?? digests.sha256;
    const path = `/download/${session.id}/${encodeURIComponent(name)}?v=${session.contentVersion}`;
    return {
      name,
      size,
      status: Status.PREPARED,
      downloadEndpoint: { uri: (this.linkBase ?? this.url) + path },
      ...(left === 0 && {
        checksumInfo: { algorithm: Algorithm.SHA256, checksum: sha256 },
        checksums: [
          { algorithm: Algorithm.SHA256, checksum: sha256 },
          { algorithm: Algorithm.SHA1, checksum: digests.sha1 },
        ],
      }),
    };
  }

  #digestsOf(bytes: Buffer): Digests {
    let digests = this.#digests.get(bytes);
    if (digests === undefined) {
      const digest = (algorithm: string) => createHash(algorithm).update(bytes).digest("hex");
      digests = { sha256: digest("sha256"), sha1: digest("sha1") };
      this.#digests.set(bytes, digests);
    }
    return digests;
  }

  #live(id: string): ServedSession | undefined {
    const session = this.#sessions.get(id);
    if (session !== undefined && Date.now() >= session.expiresAt) this.#sessions.delete(id);
    return this.#sessions.get(id);
  }

  #require(id: string): ServedSession {
    const session = this.#live(id);
    if (session === undefined) throw new ConnectError(`no session ${id}`, Code.NotFound);
    return session;
  }

  #requireActive(id: string): ServedSession {
    const session = this.#require(id);
    if (session.state !== State.ACTIVE) throw new ConnectError("not ACTIVE", Code.FailedPrecondition);
    return session;
  }

  #serveFile(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url!, this.url);
    const [, , id = "", name = ""] = url.pathname.split("/").map(decodeURIComponent);
    const record: FileRequest = {
      name,
      range: request.headers.range,
      ifRange: request.headers["if-range"] as string | undefined,
      status: 0,
      isOver: false,
    };
    this.fileRequests.push(record);
    response.on("finish", () => {
      record.status = response.statusCode;
    });
    response.on("close", () => {
      record.isOver = true;
    });
    this.onFileRequest(record);
    const fault = this.faults.shift() ?? this.faultOf(record) ?? this.everyFault ?? {};
    const session = this.#live(id);
    const version = url.searchParams.get("v");
    if (fault.status !== undefined) {
      response.writeHead(fault.status, fault.headers).end("no");
    } else if (session?.state !== State.ACTIVE || version !== this.contentVersion) {
      response.writeHead(404).end("nothing here");
    } else {
      void sendFile(
        response,
        { bytes: this.files.get(name)!, etag: `"${version}-${encodeURIComponent(name)}"` },
        record,
        fault,
      );
    }
  }
}
