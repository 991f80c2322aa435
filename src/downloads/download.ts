import type { Admission } from "../calls/admission.ts";
import { requestIdFrom } from "../calls/call.ts";
import { type ClientAddressOf, networkOf } from "../calls/client-address.ts";
import type { DownloadObserver, DownloadOutcome } from "../calls/download-record.ts";
import { connectionOf, type HttpRequest, type HttpResponse } from "../calls/http.ts";
import { asServiceError } from "../calls/pipeline.ts";
import { headersOf } from "../calls/status.ts";
import { vapiErrorBody } from "../calls/vapi-error.ts";
import type { ByteRange, ContentFile, ContentSource } from "../domain/content-source.ts";
import { errorKinds, ServiceError } from "../domain/errors.ts";
import { type Digests, isWithheld, type VersionedFile } from "../domain/preparation.ts";
import type { PreparationStore } from "../domain/preparation-store.ts";
import type { SessionFileStore } from "../domain/session-file-store.ts";
import type { SessionStore } from "../domain/session-store.ts";
import { StoreTime } from "../domain/store-time.ts";
import type { Bandwidth } from "./bandwidth.ts";
import type { Buffers } from "./buffers.ts";
import { entityTagOf, select } from "./conditions.ts";
import type { DownloadShares } from "./download-shares.ts";
import type { Downloads } from "./downloads.ts";
import { digestsField, fileHeaders, type Headers, validatorHeaders } from "./headers.ts";
import { type Link, type Links, linkBearer } from "./links.ts";
import { type Logins, LoginUse } from "./login-use.ts";
import { type Offload, offloadAnswer } from "./offload.ts";
import { send } from "./send.ts";
import type { ActiveDownload } from "./session-downloads.ts";

/** What all downloads of a process share. */
export interface DownloadParts {
  readonly links: Pick<Links, "verify">;
  readonly sessions: Pick<SessionStore, "get">;
  readonly content: Pick<ContentSource, "openFile">;
  readonly preparations: Pick<PreparationStore, "find">;
  readonly files: Pick<SessionFileStore, "recordSent">;
  readonly downloads: Downloads;
  readonly shares: DownloadShares;
  readonly bandwidth: Bandwidth;
  readonly logins: Logins;
  /** Whether sessions have owners that differ: false while every caller is anonymous. */
  readonly hasOwners: boolean;
  /** Whether the users file has this user. */
  readonly isUser: (name: string) => boolean;
  /** Counts links that are being looked up among the calls in flight. */
  readonly admission: Admission;
  /** Undefined: this service sends the files. */
  readonly offload: Offload | undefined;
  /** Names and values in turn, sent with every answer; see `pageHeaders`. */
  readonly pageHeaders: readonly string[];
  readonly clientAddressOf: ClientAddressOf;
  readonly observe: DownloadObserver;
}

/** Retry-After while a store or the content source does not answer, in seconds. */
const outagePauseSeconds = 1;

/** An open file of a session. */
interface SessionFileContent {
  /** Principal that created the session. */
  readonly owner: string;
  readonly file: ContentFile;
  readonly version: VersionedFile;
  /** Undefined while the file is not verified. */
  readonly digests: Digests | undefined;
}

/** The range of a file to send, with the head of the answer. */
interface Body {
  readonly status: 200 | 206;
  readonly headers: Headers;
  readonly range: ByteRange;
}

/** One request for the file of a link. */
export class Download {
  readonly #parts: DownloadParts & { readonly buffers: Buffers };
  readonly #request: HttpRequest;
  readonly #response: HttpResponse;
  readonly #method: "GET" | "HEAD";
  readonly #requestId: string;
  readonly #clientAddress: string;
  readonly #startedAt = performance.now();
  #status = 0;
  /** Set once its signature is verified. */
  #link: Link | undefined;
  /** Set while the link is looked up, which weighs as much as a call. */
  #endLookUp: (() => void) | undefined;

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
    const { headers } = request;
    this.#requestId = requestIdFrom(headers["x-request-id"]);
    this.#clientAddress = parts.clientAddressOf({ connection: connectionOf(request), headers });
  }

  /** @param target path and query of the request, without `linkRoot` */
  async serve(target: string): Promise<void> {
    try {
      await this.#waitForTurn();
      this.#link = await this.#parts.links.verify(target);
      if (this.#link === undefined) return this.#refuse();
      this.#beginLookUp();
      const download = this.#parts.downloads.begin(this.#link.sessionId, this.#link.fileName);
      try {
        await this.#answerFrom(this.#link, download);
      } finally {
        this.#endLookUp?.();
        this.#parts.downloads.end(download);
      }
    } catch (reason) {
      this.#fail(reason);
    }
  }

  /**
   * Waits until the connection is free for this response: HTTP/1 clients may send requests ahead, which are served one
   * after the other. Until then a request holds nothing, so it may be dropped if the connection ends first.
   */
  async #waitForTurn(): Promise<void> {
    const response = this.#response;
    if ("stream" in response || response.socket !== null) return;
    await new Promise<void>((resolve) => response.once("socket", () => resolve()));
  }

  #beginLookUp(): void {
    const { admission } = this.#parts;
    const connection = connectionOf(this.#request);
    if (!admission.enter(connection, 1)) throw ServiceError.overloaded();
    this.#endLookUp = () => {
      admission.leave(connection, 1);
      this.#endLookUp = undefined;
    };
  }

  async #answerFrom(link: Link, download: ActiveDownload): Promise<void> {
    const content = await this.#open(link);
    if (content === undefined) return this.#refuse();
    const { owner, file, version, digests } = content;
    if (digests === undefined) download.unverified = version;
    let mustClose = true;
    try {
      // The session may have ended while the file was opened.
      if (download.cutReason === "server_stopping") throw new ServiceError("downlease.server.stopping");
      if (download.cutReason !== undefined) return this.#refuse();
      if (await this.#offload(link, content)) return;
      const body = this.#select(link, file, digests);
      if (body === undefined) return;
      const leave = this.#enter(link.sessionId, owner);
      this.#endLookUp?.();
      mustClose = false;
      await this.#send(file, body, download).finally(leave);
    } finally {
      if (mustClose) await file.close();
    }
  }

  /** Takes a place among the downloads at a time; returns what frees it. @throws ServiceError when there is none */
  #enter(sessionId: string, owner: string): () => void {
    const { shares, hasOwners, observe } = this.#parts;
    const network = networkOf(this.#clientAddress);
    const holders = { sessionId, owner: hasOwners ? owner : undefined, network };
    shares.enter(holders);
    observe.began(sessionId, this.#clientAddress);
    return () => {
      shares.leave(holders);
      observe.ended();
    };
  }

  /** Opens the file of a link; undefined when the link is closed, or the file has changed or is known to be damaged. */
  async #open({ sessionId, fileName, contentVersion }: Link): Promise<SessionFileContent | undefined> {
    const { sessions, content, preparations, isUser } = this.#parts;
    const time = new StoreTime();
    const session = await time.wait(sessions.get(sessionId, linkBearer));
    if (session?.state !== "ACTIVE" || session.contentVersion !== contentVersion) return undefined;
    // The session ends with its user, but the process that ends it may be another one, or none may have seen the removal.
    if (session.endsWithUser && !isUser(session.owner)) return undefined;
    const itemId = session.libraryItemId;
    const version = { itemId, contentVersion, fileName };
    const [preparation] = await time.wait(preparations.find([version]));
    if (preparation !== undefined && isWithheld(preparation)) return undefined;
    const file = await content.openFile(itemId, fileName, contentVersion);
    return (
      file && {
        owner: session.owner,
        file,
        version,
        digests: preparation?.status === "PREPARED" ? preparation.digests : undefined,
      }
    );
  }

  /** Selects what to send; answers, and returns undefined, when that is no content. */
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
        // In an answer to HEAD it would be the digest of no bytes (RFC 9530, appendix B.2).
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

  async #send(file: ContentFile, { status, headers, range }: Body, download: ActiveDownload): Promise<void> {
    const { buffers, observe, logins } = this.#parts;
    const begin = () => this.#writeHead(status, headers);
    const bandwidth = this.#parts.bandwidth.begin();
    const login = LoginUse.of(this.#request.headers, logins);
    const onSent = (bytes: number) => {
      observe.moved(bytes);
      login?.moved();
    };
    const options = { response: this.#response, download, buffers, bandwidth, begin, onSent };
    const { outcome, hasBegun, cause } = await send(file, range, options).finally(() => {
      bandwidth.end();
      login?.end();
    });
    if (hasBegun || outcome === "client_gone") {
      return this.#recordEnd(outcome, download.bytesSent, undefined, cause);
    }
    switch (outcome) {
      case "session_ended":
      case "content_changed":
      case "checksum_mismatch":
        return this.#refuse();
      case "server_stopping":
        throw new ServiceError("downlease.server.stopping");
      default:
        throw new ServiceError("downlease.content.unavailable", [], cause);
    }
  }

  /** Answers so that somebody else sends the file; false when this service has to answer. */
  async #offload(
    { sessionId, fileName }: Link,
    { file, digests }: Pick<SessionFileContent, "file" | "digests">,
  ): Promise<boolean> {
    const { offload, files, logins } = this.#parts;
    const { url, headers } = this.#request;
    const renew = async () => {
      const renewal = await files.recordSent(sessionId, new Map([[fileName, 0]]));
      if (renewal.outcome !== "renewed") return undefined;
      LoginUse.of(headers, logins)?.moved();
      return renewal.expiresAt;
    };
    const request = { method: this.#method, url, fileName, file, digests, renew };
    const answer = await offloadAnswer(offload, request);
    if (answer === undefined) return false;
    if (answer === "session_ended") this.#refuse();
    else this.#answer(answer.status, answer.headers, "offloaded");
    return true;
  }

  /** The same answer for every reason, so that guessing reveals nothing about sessions and files. */
  #refuse(): void {
    this.#answerError(new ServiceError("downlease.link.not_found"), "refused");
  }

  #fail(reason: unknown): void {
    this.#answerError(asServiceError(reason, { requestId: this.#requestId }), "failed");
  }

  #answerError(error: ServiceError, outcome: DownloadOutcome): void {
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
    // If headers were sent, the answer has already failed.
    if (!this.#response.headersSent && !this.#response.destroyed) {
      this.#writeHead(status, headers);
      this.#response.end(this.#method === "HEAD" ? "" : body);
    }
    this.#recordEnd(outcome, 0, error, error?.cause);
  }

  #writeHead(status: number, headers: Headers): void {
    this.#status = status;
    this.#response.writeHead(status, [
      ...headers,
      ...this.#parts.pageHeaders,
      ...["x-request-id", this.#requestId],
    ]);
  }

  #recordEnd(
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
      peer: this.#clientAddress,
      requestId: this.#requestId,
      sessionId: this.#link?.sessionId,
      fileName: this.#link?.fileName,
      error,
      cause,
    });
  }
}
