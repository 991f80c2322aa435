import { create, type Message } from "@bufbuild/protobuf";
import { type CallObserver, HttpCall, type RestEndpoint } from "../../calls/call.ts";
import type { Connection } from "../../calls/connection.ts";
import { connectionOf, discardBody, type HttpRequest, type HttpResponse } from "../../calls/http.ts";
import { asServiceError, type CallPipeline } from "../../calls/pipeline.ts";
import { callHeaders, type ProtocolHandler } from "../../calls/protocol-handler.ts";
import { headersOf } from "../../calls/status.ts";
import { httpStatusOf, ServiceError } from "../../domain/errors.ts";
import { bindInto } from "./binder.ts";
import { bindingsOf } from "./bindings.ts";
import { readBody } from "./body.ts";
import { decodeForm, nest, type Pair } from "./codecs/form.ts";
import { decodeJson, encodeJson } from "./codecs/json.ts";
import { decodeXml, encodeXml, type XmlRoot } from "./codecs/xml.ts";
import { type Dialect, dialectOf, dialects, isBelow } from "./dialects.ts";
import { loginCookieHeaders } from "./login-cookie.ts";
import { type RequestFormat, requestFormat, responseType } from "./media-types.ts";
import { missingOperation } from "./missing-operation.ts";
import { templateOf } from "./operation-options.ts";
import { type Endpoint, endpointOf, pathMembers, type RouteMatch, RouteTable } from "./route-table.ts";
import type { Tree, TreeObject } from "./tree.ts";

export interface RestOptions {
  readonly pipeline: CallPipeline;
  /** Largest request body, in bytes. */
  readonly maxBodyBytes: number;
  /** Alternating names and values, for every response with a body; see `pageHeaders`. */
  readonly pageHeaders?: readonly string[] | undefined;
  /** Called for requests that never reach an operation; the pipeline calls it for the others. */
  readonly observe: CallObserver;
}

const errorRoot: XmlRoot = { name: "Error", namespace: "http://vmware.com/vapi/std/errors" };

/** Null is an empty body. */
const decoders: Record<RequestFormat, (body: Buffer, root: XmlRoot) => TreeObject | null> = {
  json: decodeJson,
  xml: decodeXml,
  form: decodeForm,
};

/**
 * Every operation with a `vapi.v1.operation` option on the REST paths of the option, in every dialect. Answers every
 * request; an unknown path gets a vAPI `not_found`.
 *
 * @throws BindingError, UnsupportedFieldError when the options of the descriptors contradict themselves
 */
export function restHandler(options: RestOptions): ProtocolHandler {
  const routes = new RouteTable();
  for (const binding of bindingsOf(options.pipeline)) {
    for (const dialect of dialects) routes.add(binding, dialect);
  }
  return {
    name: "rest",
    headers: { request: [...callHeaders.request, "Client-Token"], response: callHeaders.response },
    takes: () => true,
    serve: (req, res, path) => void new RestCall(req, res, path, options).serve(routes),
  };
}

/** One request and its response; also the call that the pipeline sees. */
class RestCall extends HttpCall {
  readonly protocol = "rest";
  readonly connection: Connection;
  readonly #req: HttpRequest;
  readonly #res: HttpResponse;
  readonly #path: string;
  readonly #maxBodyBytes: number;
  readonly #pageHeaders: readonly string[];
  readonly #observe: CallObserver;
  readonly #startedAt = performance.now();
  /** Undefined until the path has matched. */
  #match: RouteMatch | undefined = undefined;
  /** Undefined until the request has led to an operation. */
  #endpoint: Endpoint | undefined = undefined;
  #isInPipeline = false;

  constructor(req: HttpRequest, res: HttpResponse, path: string, options: RestOptions) {
    super(req.headers);
    this.#req = req;
    this.#res = res;
    this.#path = path;
    this.#maxBodyBytes = options.maxBodyBytes;
    this.#pageHeaders = options.pageHeaders ?? [];
    this.#observe = options.observe;
    this.connection = connectionOf(req);
  }

  override get rest(): RestEndpoint | undefined {
    if (this.#match === undefined || this.#endpoint === undefined) return undefined;
    const { prefix, dialect } = this.#match;
    const { route } = this.#endpoint;
    return {
      method: this.#req.method ?? "",
      template: prefix + templateOf(route),
      status: (outcome) => (outcome === "ok" ? route.status : httpStatusOf(outcome, dialect.routes)),
    };
  }

  async serve(routes: RouteTable): Promise<void> {
    try {
      const path = this.#path;
      const match = routes.find(path);
      this.#match = match;
      const query = match?.queries.read(this.#req.url?.slice(path.length + 1) ?? "");
      const endpoint = query && endpointOf(match!, this.#req.method ?? "", query);
      if (match === undefined || endpoint === undefined) {
        throw missingOperation(this.#req.method ?? "", path, match && { route: match, query: query! });
      }
      this.#endpoint = endpoint;
      // The body of a GET is ignored; some clients send `{}`.
      const body = this.#req.method === "GET" ? undefined : await this.#body();
      this.#isInPipeline = true;
      const bind = () => this.#bind(endpoint, match, query!.members, body);
      this.#answer(endpoint, match, await endpoint.binding.run(bind, this));
    } catch (reason) {
      this.#refuse(asServiceError(reason, this));
    }
  }

  /** The body, or the error of reading it, which only authenticated callers get to see. */
  async #body(): Promise<Buffer | ServiceError> {
    try {
      return await readBody(this.#req, this.#maxBodyBytes);
    } catch (reason) {
      return asServiceError(reason, this);
    }
  }

  /** Parameters may come from the path, query string, headers and body; a parameter in several of them must agree. */
  #bind(
    endpoint: Endpoint,
    match: RouteMatch,
    query: readonly Pair[],
    body: Buffer | ServiceError | undefined,
  ): Message {
    if (body instanceof ServiceError) throw body;
    const { binding, mapping, route } = endpoint;
    const { operationId } = binding;
    const plan = mapping.request;
    const { headers } = this.#req;
    const request = create(plan.desc);
    if (body !== undefined && body.length > 0) {
      const format = requestFormat(
        headers["content-type"],
        headers["content-encoding"],
        match.dialect.requestFormats,
      );
      const tree = decoders[format](body, binding.inputRoot);
      const members = route.body === undefined ? tree : { [route.body]: tree };
      if (members !== null) bindInto(request, plan, members, format !== "json", operationId);
    }
    for (const { field, spellings } of route.headers) {
      for (const spelling of spellings) {
        const value = headers[spelling];
        if (value !== undefined) bindInto(request, plan, { [field]: String(value) }, true, operationId);
      }
    }
    // Unknown query parameters are ignored, because callers may add their own for tracing; except in administration,
    // where a misspelled filter would mean more than the operator does.
    const fields =
      query.length === 0 || binding.isAdministration
        ? query
        : query.filter(([name]) => plan.fields.has(name.split(".", 1)[0]!));
    if (fields.length > 0) bindInto(request, plan, nest(fields), true, operationId);
    if (match.values.length > 0) bindInto(request, plan, pathMembers(endpoint, match), true, operationId);
    return request;
  }

  #answer({ binding, mapping, route }: Endpoint, { dialect, prefix }: RouteMatch, response: object): void {
    const result = mapping.result && dialect.wrapResult(mapping.result(response));
    const headers = ["cache-control", "no-store"];
    if (this.returnsRequestId(binding.isRoutine)) headers.push("x-request-id", this.requestId);
    if ((binding.isLogin || binding.isLogout) && dialect.hasLoginCookie) {
      headers.push(...loginCookieHeaders(this.#req, prefix, mapping.result?.(response)));
    }
    this.#write(route.status, headers, dialect, result, binding.resultRoot);
  }

  #refuse(error: ServiceError): void {
    if (!this.#isInPipeline) {
      const { kind: outcome } = error;
      const durationMs = performance.now() - this.#startedAt;
      const target = `${this.#req.method} ${this.#path}`;
      const operation = this.#endpoint?.binding.name ?? "unknown";
      this.#observe({ call: this, operation, target, outcome, durationMs, error });
    }
    const headers = ["cache-control", "no-store", "x-request-id", this.requestId];
    headers.push(...Object.entries(headersOf(error)).flat());
    const dialect = this.#match?.dialect ?? dialectOf(this.#path);
    this.#write(
      httpStatusOf(error.kind, dialect.routes),
      headers,
      dialect,
      dialect.wrapError(error),
      errorRoot,
    );
    discardBody(this.#req);
  }

  /**
   * Sends the tree in a format of the dialect, or no body when it is undefined.
   *
   * @param headers alternating names and values, which Node.js writes without looking for repeated names
   */
  #write(
    status: number,
    headers: string[],
    { responseTypes, strictPrefix }: Dialect,
    tree: Tree | undefined,
    root: XmlRoot,
  ): void {
    if (this.#res.destroyed) return;
    let body = "";
    if (tree !== undefined) {
      const isStrict = isBelow(strictPrefix, this.#path);
      const type = responseType(this.#req.headers.accept, responseTypes, isStrict);
      // Dialects with XML wrap every result into a structure.
      body = type === "application/json" ? encodeJson(tree) : encodeXml(tree as TreeObject, root);
      headers.push("content-type", type, ...this.#pageHeaders);
    }
    // RFC 9110, section 8.6: no Content-Length with 204.
    if (status !== 204) headers.push("content-length", String(Buffer.byteLength(body)));
    this.#res.writeHead(status, headers);
    this.#res.end(body);
    this.connection.answered(body.length);
  }
}
