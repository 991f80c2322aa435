import { create, type Message } from "@bufbuild/protobuf";
import { type CallObserver, ProtocolCall } from "../../calls/call.ts";
import type { Connection } from "../../calls/connection.ts";
import {
  connectionOf,
  type HttpHandler,
  type HttpRequest,
  type HttpResponse,
  pathOf,
} from "../../calls/http.ts";
import { asServiceError, type CallPipeline } from "../../calls/pipeline.ts";
import { headersOf } from "../../calls/status.ts";
import { errorKinds, ServiceError } from "../../domain/errors.ts";
import { bindInto } from "./binder.ts";
import { bindingsOf } from "./bindings.ts";
import { readBody } from "./body.ts";
import { decodeForm, nest, type Pair } from "./codecs/form.ts";
import { decodeJson, encodeJson } from "./codecs/json.ts";
import { decodeXml, encodeXml, type XmlRoot } from "./codecs/xml.ts";
import { type Dialect, dialectOf, dialects } from "./dialects.ts";
import { loginCookieHeaders } from "./login-cookie.ts";
import { type RequestFormat, requestFormat, responseType } from "./media-types.ts";
import { type Place, pathMembers, RouteTable, type Target, targetOf } from "./route-table.ts";
import type { Tree, TreeObject } from "./tree.ts";

export interface RestOptions {
  readonly pipeline: CallPipeline;
  /** Largest request body, in bytes. */
  readonly maxBodyBytes: number;
  /** Names and values in turn, for every answer with a body; see `pageHeaders`. */
  readonly pageHeaders?: readonly string[] | undefined;
  /** Told of requests that never reach an operation; the pipeline tells of the others. */
  readonly observe: CallObserver;
  /** Answers `POST /api` itself, below which the routes of `/api` are. */
  readonly jsonRpc?: HttpHandler;
}

const jsonRpcPath = "/api";
const errorRoot: XmlRoot = { name: "Error", namespace: "http://vmware.com/vapi/std/errors" };

const decoders: Record<RequestFormat, (body: Buffer, root: XmlRoot) => TreeObject> = {
  json: decodeJson,
  xml: decodeXml,
  form: decodeForm,
};

/**
 * The REST shim: every operation with a `vapi.v1.operation` option on the paths that the option names, in every
 * dialect. Answers every request; what it does not know is a vAPI `not_found`.
 *
 * @throws BindingError, UnsupportedFieldError when the options of the descriptors contradict themselves
 */
export function restHandler(options: RestOptions): HttpHandler {
  const routes = new RouteTable();
  for (const binding of bindingsOf(options.pipeline)) {
    for (const dialect of dialects) routes.add(binding, dialect);
  }
  const { jsonRpc } = options;
  return (req, res) => {
    if (jsonRpc !== undefined && req.method === "POST" && isJsonRpc(req.url)) return jsonRpc(req, res);
    void new Exchange(req, res, options).serve(routes);
  };
}

function isJsonRpc(url = ""): boolean {
  return url === jsonRpcPath || url.startsWith(`${jsonRpcPath}?`);
}

/** One request and its answer; also the call that the pipeline sees. */
class Exchange extends ProtocolCall {
  readonly protocol = "rest";
  readonly connection: Connection;
  readonly #req: HttpRequest;
  readonly #res: HttpResponse;
  readonly #maxBodyBytes: number;
  readonly #pageHeaders: readonly string[];
  readonly #observe: CallObserver;
  readonly #startedAt = performance.now();
  /** How to tell an error; not known until the path is looked up, or when it leads nowhere. */
  #dialect: Dialect | undefined = undefined;
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
      this.#dialect = place?.dialect;
      const query = place?.queries.read(queryText);
      const target = query && targetOf(place!, this.#req.method ?? "", query);
      if (place === undefined || target === undefined) {
        throw new ServiceError("downlease.operation.not_found", [this.#req.method ?? "", shorten(path)]);
      }
      this.#operation = target.binding.name;
      // A GET has no body that counts, even if some clients send `{}`.
      const body = this.#req.method === "GET" ? undefined : await this.#body();
      this.#isInCorridor = true;
      const response = await target.binding.run(() => this.#bind(target, place, query!.members, body), this);
      this.#answer(target, place, response);
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

  /** Parameters may come from the path, the query string, headers and the body, and must agree where they meet. */
  #bind(
    target: Target,
    place: Place,
    query: readonly Pair[],
    body: Buffer | ServiceError | undefined,
  ): Message {
    if (body instanceof ServiceError) throw body;
    const { binding, form, route } = target;
    const { operationId } = binding;
    const plan = form.request;
    const { headers } = this.#req;
    const request = create(plan.desc);
    if (body !== undefined && body.length > 0) {
      const format = requestFormat(
        headers["content-type"],
        headers["content-encoding"],
        place.dialect.requestFormats,
      );
      const tree = decoders[format](body, binding.inputRoot);
      const members = route.body === undefined ? tree : { [route.body]: tree };
      bindInto(request, plan, members, format !== "json", operationId);
    }
    for (const { field, spellings } of route.headers) {
      for (const spelling of spellings) {
        const value = headers[spelling];
        if (value !== undefined) bindInto(request, plan, { [field]: String(value) }, true, operationId);
      }
    }
    // Other query parameters are not ours: callers may add their own for tracing.
    const ours =
      query.length === 0 ? query : query.filter(([name]) => plan.fields.has(name.split(".", 1)[0]!));
    if (ours.length > 0) bindInto(request, plan, nest(ours), true, operationId);
    if (place.values.length > 0) bindInto(request, plan, pathMembers(target, place), true, operationId);
    return request;
  }

  #answer({ binding, form, route }: Target, place: Place, response: object): void {
    const { dialect } = place;
    const result = form.result && dialect.wrapResult(form.result(response));
    const headers = ["cache-control", "no-store"];
    if (this.tellsRequestId(binding.isRoutine)) headers.push("x-request-id", this.requestId);
    if ((binding.isLogin || binding.isLogout) && dialect.hasLoginCookie) {
      headers.push(...loginCookieHeaders(this.#req, place.prefix, form.result?.(response)));
    }
    this.#write(route.status, headers, dialect, result, binding.resultRoot);
  }

  #refuse(error: ServiceError): void {
    if (!this.#isInCorridor) {
      const { kind: outcome } = error;
      const durationMs = performance.now() - this.#startedAt;
      this.#observe({ call: this, operation: this.#operation, outcome, durationMs, error });
    }
    const headers = ["cache-control", "no-store", "x-request-id", this.requestId];
    headers.push(...Object.entries(headersOf(error)).flat());
    const dialect = this.#dialect ?? dialectOf(pathOf(this.#req));
    this.#write(errorKinds[error.kind].http, headers, dialect, dialect.wrapError(error), errorRoot);
    // What is left of a body that was refused: unread, it would block the connection.
    this.#req.resume();
  }

  /**
   * Writes the tree in a representation of the dialect, or no body at all.
   *
   * @param headers names and values in turn: Node writes these out without looking for names that are repeated
   */
  #write(
    status: number,
    headers: string[],
    { responseTypes }: Dialect,
    tree: Tree | undefined,
    root: XmlRoot,
  ): void {
    if (this.#res.destroyed) return;
    let body = "";
    if (tree !== undefined) {
      const type = responseType(this.#req.headers.accept, responseTypes);
      // Dialects that have XML wrap everything into a structure.
      body = type === "application/json" ? encodeJson(tree) : encodeXml(tree as TreeObject, root);
      headers.push("content-type", type, ...this.#pageHeaders);
    }
    // RFC 9110, section 8.6: not with 204.
    if (status !== 204) headers.push("content-length", String(Buffer.byteLength(body)));
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
