import { create, type Message } from "@bufbuild/protobuf";
import { errorKinds, ServiceError } from "../domain/errors.ts";
import { type CallObserver, DoorCall } from "../operations/call.ts";
import type { Connection } from "../operations/connection.ts";
import { asServiceError, type Corridor } from "../operations/corridor.ts";
import { connectionOf, type HttpHandler, type HttpRequest, type HttpResponse } from "../operations/http.ts";
import { bindInto } from "./binder.ts";
import { bindingsOf } from "./bindings.ts";
import { readBody } from "./body.ts";
import { decodeForm, nest, type Pair } from "./codecs/form.ts";
import { decodeJson, encodeJson } from "./codecs/json.ts";
import { decodeXml, encodeXml, type XmlRoot } from "./codecs/xml.ts";
import { type Dialect, restDialect } from "./dialects.ts";
import { requestFormat, responseType } from "./media-types.ts";
import { type Place, pathMembers, RouteTable, type Target } from "./route-table.ts";
import type { TreeObject } from "./tree.ts";

export interface RestOptions {
  readonly corridor: Corridor;
  /** Largest request body, in bytes. */
  readonly maxBodyBytes: number;
  /** Names and values in turn, for every answer with a body; see `pageHeaders`. */
  readonly pageHeaders?: readonly string[] | undefined;
  /** Told of requests that never reach an operation; the corridor tells of the others. */
  readonly observe: CallObserver;
}

const errorRoot: XmlRoot = { name: "Error", namespace: "http://vmware.com/vapi/std/errors" };

/**
 * The REST shim: every operation with a `vapi.v1.operation` option on the paths that the option names. Answers
 * every request; what it does not know is a vAPI `not_found`.
 *
 * @throws BindingError, UnsupportedFieldError when the options of the descriptors contradict themselves
 */
export function restHandler(options: RestOptions): HttpHandler {
  const routes = new RouteTable();
  for (const binding of bindingsOf(options.corridor)) routes.add(binding, restDialect);
  return (req, res) => {
    void new Exchange(req, res, options).serve(routes);
  };
}

/** One request and its answer; also the call that the corridor sees. */
class Exchange extends DoorCall {
  readonly door = "rest";
  readonly connection: Connection;
  readonly #req: HttpRequest;
  readonly #res: HttpResponse;
  readonly #maxBodyBytes: number;
  readonly #pageHeaders: readonly string[];
  readonly #observe: CallObserver;
  readonly #startedAt = performance.now();
  #operation = "unknown";
  #isInCorridor = false;

  constructor(req: HttpRequest, res: HttpResponse, options: RestOptions) {
    super(req.headers);
    this.#req = req;
    this.#res = res;
    this.#maxBodyBytes = options.maxBodyBytes;
    this.#pageHeaders = options.pageHeaders ?? [];
    this.#observe = options.observe;
    this.connection = connectionOf(req);
  }

  async serve(routes: RouteTable): Promise<void> {
    try {
      const [path, queryText] = splitUrl(this.#req.url ?? "/");
      const place = routes.find(path);
      const query = place?.queries.read(queryText);
      const target = query && place?.targets.get(this.#req.method ?? "")?.get(query.action);
      if (place === undefined || target === undefined) {
        throw new ServiceError("downlease.operation.not_found", [this.#req.method ?? "", shorten(path)]);
      }
      this.#operation = target.binding.name;
      // A GET has no body that counts, even if some clients send `{}`.
      const body = this.#req.method === "GET" ? undefined : await this.#body();
      this.#isInCorridor = true;
      const response = await target.binding.run(() => this.#bind(target, place, query!.members, body), this);
      this.#answer(target, place.dialect, response);
    } catch (reason) {
      this.#refuse(asServiceError(reason, this));
    }
  }

  /** The body, or why it can't be had: that is told only to callers who are known. */
  async #body(): Promise<Buffer | ServiceError> {
    try {
      return await readBody(this.#req, this.#maxBodyBytes);
    } catch (reason) {
      return asServiceError(reason, this);
    }
  }

  /** Parameters may come from the path, the query string and the body, and must agree where they meet. */
  #bind(
    target: Target,
    place: Place,
    query: readonly Pair[],
    body: Buffer | ServiceError | undefined,
  ): Message {
    if (body instanceof ServiceError) throw body;
    const { request: plan, operationId, inputRoot } = target.binding;
    const request = create(plan.desc);
    if (body !== undefined && body.length > 0) {
      const { "content-type": type, "content-encoding": encoding } = this.#req.headers;
      const format = requestFormat(type, encoding);
      if (format === "json") bindInto(request, plan, decodeJson(body), false, operationId);
      else {
        const tree = format === "xml" ? decodeXml(body, inputRoot) : decodeForm(body);
        bindInto(request, plan, tree, true, operationId);
      }
    }
    // Other query parameters are not ours: callers may add their own for tracing.
    const ours =
      query.length === 0 ? query : query.filter(([name]) => plan.fields.has(name.split(".", 1)[0]!));
    if (ours.length > 0) bindInto(request, plan, nest(ours), true, operationId);
    if (place.values.length > 0) bindInto(request, plan, pathMembers(target, place), true, operationId);
    return request;
  }

  #answer({ binding, status }: Target, dialect: Dialect, response: object): void {
    const result = binding.result && dialect.wrapResult(binding.result(response));
    const headers = ["cache-control", "no-store"];
    if (this.tellsRequestId(binding.isRoutine)) headers.push("x-request-id", this.requestId);
    this.#write(status, headers, result, binding.resultRoot);
  }

  #refuse(error: ServiceError): void {
    if (!this.#isInCorridor) {
      const { kind: outcome } = error;
      const durationMs = performance.now() - this.#startedAt;
      this.#observe({ call: this, operation: this.#operation, outcome, durationMs, error });
    }
    const headers = ["cache-control", "no-store", "x-request-id", this.requestId];
    const { retryAfterSeconds } = error;
    if (retryAfterSeconds !== undefined) headers.push("retry-after", String(retryAfterSeconds));
    this.#write(errorKinds[error.kind].http, headers, restDialect.wrapError(error), errorRoot);
    // What is left of a body that was refused: unread, it would block the connection.
    this.#req.resume();
  }

  /**
   * Writes the tree as JSON or XML, or no body at all.
   *
   * @param headers names and values in turn: Node writes these out without looking for names that are repeated
   */
  #write(status: number, headers: string[], tree: TreeObject | undefined, root: XmlRoot): void {
    if (this.#res.destroyed) return;
    let body = "";
    if (tree !== undefined) {
      const type = responseType(this.#req.headers.accept);
      body = type === "application/json" ? encodeJson(tree) : encodeXml(tree, root);
      headers.push("content-type", type, ...this.#pageHeaders);
    }
    headers.push("content-length", String(Buffer.byteLength(body)));
    this.#res.writeHead(status, headers);
    this.#res.end(body);
  }
}

function splitUrl(url: string): [path: string, query: string] {
  const mark = url.indexOf("?");
  return mark < 0 ? [url, ""] : [url.slice(0, mark), url.slice(mark + 1)];
}

/** Enough of a path to recognise it in an error message. Its query stays out of that: there may be secrets in it. */
function shorten(path: string): string {
  return path.length > 200 ? `${path.slice(0, 200)}…` : path;
}
