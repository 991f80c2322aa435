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

/** What goes wrong with one answer of the file protocol. */
export interface Fault {
  /** Instead of the file. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** The connection is closed after so many bytes of the body. */
  readonly cutAfter?: number;
  /** Nothing more comes after so many bytes of the body. */
  readonly stallAfter?: number;
  /** The byte at this place of the file is another one. */
  readonly flipAt?: number;
  /** The body is declared to be so long, and is. */
  readonly contentLength?: number;
  /** So many bytes more than there are. */
  readonly surplus?: number;
  /** The whole file, whatever part was asked for. */
  readonly ignoreRange?: boolean;
  /** A part that begins so many bytes after the one that was asked for. */
  readonly shiftRange?: number;
}

export interface FileRequest {
  readonly name: string;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  status: number;
  /** Whether nothing more of the answer can come. */
  isOver: boolean;
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
  /** Told by `Date` of the answers, and by the end of leases: milliseconds that the server's clock is ahead. */
  readonly clockAheadMs?: number;
  readonly port?: number;
}

/**
 * One item, `item`, behind the real interface of the services that downloads use, and a protocol for its files that fails
 * as it is told. Sessions are kept in memory, beyond restarts.
 */
export class FaultServer implements AsyncDisposable {
  readonly files = new Map<string, Buffer>();
  contentVersion = "v1";
  leaseMs: number;
  /** Faults of the next answers of the file protocol, one each. */
  readonly faults: Fault[] = [];
  /** The fault of every answer for which there is no other. */
  everyFault: Fault | undefined;
  /** How often Get says that a file is being prepared. */
  preparingPolls = 0;
  /** Text for a file that can't be prepared. */
  readonly errors = new Map<string, string>();
  /** Instead of the right one. */
  readonly wrongChecksums = new Map<string, string>();
  /** Fails calls before they do anything. */
  beforeCall: (method: string) => void = () => {};
  /** Called for each request of the file protocol, before it is answered. */
  onFileRequest: (request: FileRequest) => void = () => {};
  /** Every link leads here, with the path after it, instead of to this server. */
  linkBase: string | undefined;
  readonly fileRequests: FileRequest[] = [];
  /** How sessions were ended, `delete`, `cancel` or `fail: <text>`, in order. */
  readonly ends: string[] = [];
  readonly heartbeats: number[] = [];
  created = 0;
  connections = 0;
  readonly #clockAheadMs: number;
  readonly #sessions = new Map<string, ServedSession>();
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

  /** Adds a file of bytes that are nowhere the same. */
  addFile(name: string, size: number, seed = name): Buffer {
    const key = createHash("sha256").update(seed).digest();
    const bytes = createCipheriv("aes-256-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(size));
    this.files.set(name, bytes);
    return bytes;
  }

  /** Sessions end as if their leases had run out. */
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

  /** As a crash: every connection is reset, and none is accepted. */
  async crash(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, "close");
    server.close();
    for (const socket of this.#sockets) socket.resetAndDestroy();
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
        const { state, contentVersion } = this.#found(downloadSessionId);
        return { downloadSession: { state, libraryItemContentVersion: contentVersion } };
      },
      keepAlive: ({ downloadSessionId, progress }) => {
        this.beforeCall("keepAlive");
        const session = this.#active(downloadSessionId);
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
        this.#active(downloadSessionId).state = State.CANCELED;
        this.ends.push("cancel");
        return {};
      },
      fail: ({ downloadSessionId, clientErrorMessage }) => {
        this.beforeCall("fail");
        this.#active(downloadSessionId).state = State.ERROR;
        this.ends.push(`fail: ${clientErrorMessage}`);
        return {};
      },
      delete: ({ downloadSessionId }) => {
        this.beforeCall("delete");
        this.#found(downloadSessionId);
        this.#sessions.delete(downloadSessionId);
        this.ends.push("delete");
        return {};
      },
    });
    router.service(FileService, {
      list: ({ downloadSessionId }) => {
        this.beforeCall("list");
        const session = this.#found(downloadSessionId);
        return { files: [...this.files.keys()].map((name) => this.#info(session, name)) };
      },
      prepare: ({ downloadSessionId, fileName }) => {
        this.beforeCall("prepare");
        const session = this.#active(downloadSessionId);
        if (!session.prepared.has(fileName)) session.prepared.set(fileName, this.preparingPolls);
        return { file: this.#info(session, fileName) };
      },
      get: ({ downloadSessionId, fileName }) => {
        this.beforeCall("getFile");
        const session = this.#found(downloadSessionId);
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
    const size = BigInt(bytes.length);
    const changed = session.contentVersion !== this.contentVersion;
    const error = changed ? "the item has changed" : this.errors.get(name);
    if (error !== undefined)
      return { name, size, status: Status.ERROR, errorMessage: { defaultMessage: error } };
    const left = session.prepared.get(name);
    if (left === undefined) return { name, size, status: Status.UNPREPARED };
    if (left > 0) return { name, size, status: Status.PREPARING };
    const sha256 = this.wrongChecksums.get(name) ?? createHash("sha256").update(bytes).digest("hex");
    const path = `/download/${session.id}/${encodeURIComponent(name)}?v=${session.contentVersion}`;
    return {
      name,
      size,
      status: Status.PREPARED,
      downloadEndpoint: { uri: (this.linkBase ?? this.url) + path },
      checksumInfo: { algorithm: Algorithm.SHA256, checksum: sha256 },
      checksums: [
        { algorithm: Algorithm.SHA256, checksum: sha256 },
        { algorithm: Algorithm.SHA1, checksum: createHash("sha1").update(bytes).digest("hex") },
      ],
    };
  }

  #live(id: string): ServedSession | undefined {
    const session = this.#sessions.get(id);
    if (session !== undefined && Date.now() >= session.expiresAt) this.#sessions.delete(id);
    return this.#sessions.get(id);
  }

  #found(id: string): ServedSession {
    const session = this.#live(id);
    if (session === undefined) throw new ConnectError(`no session ${id}`, Code.NotFound);
    return session;
  }

  #active(id: string): ServedSession {
    const session = this.#found(id);
    if (session.state !== State.ACTIVE) throw new ConnectError("not ACTIVE", Code.FailedPrecondition);
    return session;
  }

  #serveFile(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url!, this.url);
    const [, , id = "", name = ""] = url.pathname.split("/").map(decodeURIComponent);
    const told: FileRequest = {
      name,
      range: request.headers.range,
      ifRange: request.headers["if-range"] as string | undefined,
      status: 0,
      isOver: false,
    };
    this.fileRequests.push(told);
    response.on("finish", () => {
      told.status = response.statusCode;
    });
    response.on("close", () => {
      told.isOver = true;
    });
    this.onFileRequest(told);
    const fault: Fault = this.faults.shift() ?? this.everyFault ?? {};
    const session = this.#live(id);
    const version = url.searchParams.get("v");
    if (fault.status !== undefined) {
      response.writeHead(fault.status, fault.headers).end("no");
    } else if (session?.state !== State.ACTIVE || version !== this.contentVersion) {
      response.writeHead(404).end("nothing here");
    } else {
      this.#sendFile(response, { name, version }, told, fault);
    }
  }

  #sendFile(
    response: ServerResponse,
    { name, version }: { name: string; version: string },
    { range, ifRange }: FileRequest,
    fault: Fault,
  ): void {
    const bytes = Buffer.from(this.files.get(name)!);
    if (fault.flipAt !== undefined) bytes[fault.flipAt]! ^= 1;
    const etag = `"${version}-${name}"`;
    const asked = /^bytes=(\d+)-$/.exec(range ?? "")?.[1];
    const isPart = asked !== undefined && ifRange === etag && fault.ignoreRange !== true;
    const start = isPart ? Number(asked) + (fault.shiftRange ?? 0) : 0;
    const body = Buffer.concat([bytes.subarray(start), Buffer.alloc(fault.surplus ?? 0)]);
    const length = Math.min(fault.contentLength ?? body.length, body.length);
    response.writeHead(isPart ? 206 : 200, {
      etag,
      "content-length": length,
      "accept-ranges": "bytes",
      ...(isPart && { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` }),
      ...fault.headers,
    });
    if (fault.cutAfter !== undefined) {
      // Not reset, which would take back what has been sent.
      response.write(body.subarray(0, fault.cutAfter), () => response.socket?.destroySoon());
    } else if (fault.stallAfter !== undefined) {
      response.write(body.subarray(0, fault.stallAfter));
    } else {
      response.end(body.subarray(0, length));
    }
  }
}
