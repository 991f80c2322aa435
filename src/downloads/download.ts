import type { ByteRange, ContentFile, ContentSource } from "../domain/content-source.ts";
import { errorKinds, ServiceError } from "../domain/errors.ts";
import type { Digests } from "../domain/preparation.ts";
import type { PreparationStore } from "../domain/preparation-store.ts";
import type { SessionFileStore } from "../domain/session-file-store.ts";
import type { SessionStore } from "../domain/session-store.ts";
import { requestIdFrom } from "../calls/call.ts";
import { asServiceError } from "../calls/pipeline.ts";
import { headersOf } from "../calls/status.ts";
import { vapiErrorBody } from "../calls/vapi-error.ts";
import { connectionOf, type HttpRequest, type HttpResponse } from "../calls/http.ts";
import type { DownloadObserver, DownloadOutcome } from "../calls/download-record.ts";
import type { Buffers } from "./buffers.ts";
import { entityTagOf, select } from "./conditions.ts";
import { digestsField, fileHeaders, type Headers, validatorHeaders } from "./headers.ts";
import { linkBearer } from "./link-bearer.ts";
import type { LinkSigner } from "./link-signer.ts";
import type { Link } from "./links.ts";
import { redirectFor } from "./offload.ts";
import { Sending } from "./send.ts";
import type { ActiveDownload } from "./session-downloads.ts";
import type { Downloads } from "./downloads.ts";

export interface DownloadParts {
  readonly links: Pick<LinkSigner, "verify">;
  readonly sessions: Pick<SessionStore, "get">;
  readonly content: Pick<ContentSource, "openFile">;
  readonly preparations: Pick<PreparationStore, "find">;
  readonly files: Pick<SessionFileStore, "recordSent">;
  readonly transfers: Downloads;
  /** Where a proxy in front finds the content, when it is to send it; see `redirectFor`. */
  readonly offloadPrefix: string | undefined;
  /** Names and values in turn, for every answer; see `pageHeaders`. */
  readonly pageHeaders: readonly string[];
  readonly observe: DownloadObserver;
}

/** How long a client that finds all places taken is told to wait, in seconds: a transfer takes its time. */
const overloadPauseSeconds = 5;
/** The same while something does not answer. */
const outagePauseSeconds = 1;

interface Found {
  readonly file: ContentFile;
  readonly digests: Digests | undefined;
}

/** A body that is to be sent, and what is told of it. */
interface Body {
  readonly status: 200 | 206;
  readonly headers: Headers;
  readonly range: ByteRange;
}

/** One request for what a link leads to. */
export class Download {
  readonly #parts: DownloadParts & { readonly buffers: Buffers };
  readonly #request: HttpRequest;
  readonly #response: HttpResponse;
  readonly #method: "GET" | "HEAD";
  readonly #requestId: string;
  readonly #startedAt = performance.now();
  #status = 0;
  /** Whose signature was found to be right. */
  #link: Link | undefined;

  constructor(
    request: HttpRequest,
    response: HttpResponse,
    method: "GET" | "HEAD",
    parts: DownloadParts & { readonly buffers: Buffers },
  ) {
    this.#request = request;
    this.#response = response;
    this.#method = method;
    this.#parts = parts;
    this.#requestId = requestIdFrom(request.headers["x-request-id"]);
  }

  /** @param target path and query of the request, from behind `/download/` on */
  async serve(target: string): Promise<void> {
    try {
      await this.#turn();
      this.#link = await this.#parts.links.verify(target);
      if (this.#link === undefined) return this.#refuse();
      const transfer = this.#parts.transfers.begin(this.#link.sessionId, this.#link.fileName);
      if (transfer === undefined) {
        throw new ServiceError("downlease.server.overloaded", [String(overloadPauseSeconds)]);
      }
      this.#parts.observe.began();
      try {
        await this.#transfer(this.#link, transfer);
      } finally {
        this.#parts.transfers.end(transfer);
        this.#parts.observe.ended();
      }
    } catch (reason) {
      this.#fail(reason);
    }
  }

  /**
   * HTTP/1 lets clients send requests ahead; they are served one after the other. Until it is its turn a request takes
   * nothing, so that it may be forgotten when the connection ends before.
   */
  async #turn(): Promise<void> {
    const response = this.#response;
    if ("stream" in response || response.socket !== null) return;
    await new Promise<void>((resolve) => response.once("socket", () => resolve()));
  }

  async #transfer(link: Link, transfer: ActiveDownload): Promise<void> {
    const found = await this.#find(link);
    if (found === undefined) return this.#refuse();
    const { file, digests } = found;
    let isKept = true;
    try {
      // What ended the session while it was looked up.
      if (transfer.cutWith === "server_stopping") throw new ServiceError("downlease.server.stopping");
      if (transfer.cutWith !== undefined) return this.#refuse();
      const { offloadPrefix } = this.#parts;
      const redirect = offloadPrefix === undefined ? undefined : redirectFor(file, offloadPrefix);
      if (redirect !== undefined) return await this.#offload(link, digests, redirect);
      const body = this.#select(link, file, digests);
      if (body === undefined) return;
      isKept = false;
      await this.#send(file, body, transfer);
    } finally {
      if (isKept) await file.close();
    }
  }

  /** What the link leads to, if it is open. */
  async #find({ sessionId, fileName, contentVersion }: Link): Promise<Found | undefined> {
    const { sessions, content, preparations } = this.#parts;
    const session = await sessions.get(sessionId, linkBearer);
    if (session?.state !== "ACTIVE" || session.contentVersion !== contentVersion) return undefined;
    const itemId = session.libraryItemId;
    const [preparation] = await preparations.find([{ itemId, contentVersion, fileName }]);
    const file = await content.openFile(itemId, fileName, contentVersion);
    return file && { file, digests: preparation?.status === "PREPARED" ? preparation.digests : undefined };
  }

  /** What is to be sent; answers by itself when that is nothing. */
  #select(link: Link, file: ContentFile, digests: Digests | undefined): Body | undefined {
    const etag = entityTagOf(link, file);
    const { size } = file;
    const selection = select(this.#method, this.#request.headers, etag, size);
    const headers = ["etag", etag, "accept-ranges", "bytes", ...fileHeaders(link.fileName, digests)];
    switch (selection.status) {
      case 304:
        this.#answer(304, validatorHeaders(etag));
        break;
      case 412:
        this.#answer(412, ["content-length", "0", "cache-control", "no-store"]);
        break;
      case 416:
        this.#answer(416, [
          ...["content-range", `bytes */${size}`, "content-length", "0", "cache-control", "no-store"],
        ]);
        break;
      case 206: {
        const { start, end } = selection.range;
        headers.push("content-range", `bytes ${start}-${end}/${size}`);
        headers.push("content-length", String(end - start + 1));
        return { status: 206, headers, range: selection.range };
      }
      case 200:
        // Of HEAD it would be the digest of no bytes (RFC 9530, appendix B.2).
        if (digests !== undefined && this.#method === "GET")
          headers.push("content-digest", digestsField(digests));
        headers.push("content-length", String(size));
        if (this.#method === "GET" && size > 0) {
          return { status: 200, headers, range: { start: 0, end: size - 1 } };
        }
        this.#answer(200, headers, this.#method === "GET" ? "complete" : "nothing_sent");
        break;
    }
    return undefined;
  }

  async #send(file: ContentFile, { status, headers, range }: Body, transfer: ActiveDownload): Promise<void> {
    const { buffers, observe } = this.#parts;
    const begin = () => this.#writeHead(status, headers);
    const sending = new Sending({ response: this.#response, transfer, buffers, begin, moved: observe.moved });
    const { outcome, hasBegun, cause } = await sending.send(file, range);
    if (hasBegun || outcome === "client_gone") {
      return this.#finished(outcome, transfer.bytesSent, undefined, cause);
    }
    switch (outcome) {
      case "session_ended":
      case "content_changed":
        return this.#refuse();
      case "server_stopping":
        throw new ServiceError("downlease.server.stopping");
      default:
        throw new ServiceError("downlease.content.unavailable", [], cause);
    }
  }

  /** Lets a proxy send the file. Nobody will tell how far it comes, so that the lease is renewed here, once. */
  async #offload(
    { sessionId, fileName }: Link,
    digests: Digests | undefined,
    redirect: string,
  ): Promise<void> {
    if (this.#method === "GET") {
      const { outcome } = await this.#parts.files.recordSent(sessionId, new Map([[fileName, 0]]));
      if (outcome !== "renewed") return this.#refuse();
    }
    const headers = ["x-accel-redirect", redirect, ...fileHeaders(fileName, digests), "content-length", "0"];
    this.#answer(200, headers, "offloaded");
  }

  /** The same for every reason, so that nobody can find out by guessing what there is. */
  #refuse(): void {
    this.#tell(new ServiceError("downlease.link.not_found"), "refused");
  }

  #fail(reason: unknown): void {
    this.#tell(asServiceError(reason, { requestId: this.#requestId }), "failed");
  }

  #tell(error: ServiceError, outcome: DownloadOutcome): void {
    const status = errorKinds[error.kind].http;
    const body = JSON.stringify(vapiErrorBody(error));
    const headers = ["content-type", "application/json", "content-length", String(Buffer.byteLength(body))];
    const retryAfterSeconds = status === 503 ? outagePauseSeconds : undefined;
    headers.push("cache-control", "no-store", ...Object.entries(headersOf(error, retryAfterSeconds)).flat());
    this.#answer(status, headers, outcome, body, outcome === "failed" ? error : undefined);
  }

  #answer(
    status: number,
    headers: Headers,
    outcome: DownloadOutcome = "nothing_sent",
    body = "",
    error?: ServiceError,
  ): void {
    // Either this is the whole answer, or the answer has already gone wrong.
    if (!this.#response.headersSent && !this.#response.destroyed) {
      this.#writeHead(status, headers);
      this.#response.end(this.#method === "HEAD" ? "" : body);
    }
    this.#finished(outcome, 0, error, error?.cause);
  }

  #writeHead(status: number, headers: Headers): void {
    this.#status = status;
    this.#response.writeHead(status, [
      ...headers,
      ...this.#parts.pageHeaders,
      ...["x-request-id", this.#requestId],
    ]);
  }

  #finished(
    outcome: DownloadOutcome,
    bytesSent: number,
    error: ServiceError | undefined,
    cause: unknown,
  ): void {
    this.#parts.observe.finished({
      outcome,
      status: this.#status,
      bytesSent,
      durationMs: performance.now() - this.#startedAt,
      peer: connectionOf(this.#request).peer,
      requestId: this.#requestId,
      sessionId: this.#link?.sessionId,
      fileName: this.#link?.fileName,
      error,
      cause,
    });
  }
}
