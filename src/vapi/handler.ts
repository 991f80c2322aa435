import type { OutgoingHttpHeaders } from "node:http";
import { create, type Message } from "@bufbuild/protobuf";
import { errorKinds, ServiceError } from "../domain/errors.ts";
import { type CallObserver, requestIdFrom } from "../operations/call.ts";
import { asServiceError, type Corridor } from "../operations/corridor.ts";
import type { HttpHandler, HttpRequest, HttpResponse } from "../operations/http.ts";
import { bindInto } from "./binder.ts";
import { bindingsOf } from "./bindings.ts";
import { readBody } from "./body.ts";
import { decodeForm, decodePairs, nest, type Pair } from "./codecs/form.ts";
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
class Exchange {
  readonly door = "rest";
  readonly requestId: string;
  readonly peer: string;
  readonly #req: HttpRequest;
  readonly #res: HttpResponse;
  readonly #options: RestOptions;
  readonly #startedAt = performance.now();
  #operation = "unknown";
  #isInCorridor = false;

  constructor(req: HttpRequest, res: HttpResponse, options: RestOptions) {
    this.#req = req;
    this.#res = res;
    this.#options = options;
    this.requestId = requestIdFrom(req.headers["x-request-id"]);
    // Read at once: of a connection that is gone the address can't be told.
    this.peer = req.socket.remoteAddress ?? "";
  }

  get connection(): object {
    return this.#req.socket;
  }

  async serve(routes: RouteTable): Promise<void> {
    try {
      const [path, query] = splitUrl(this.#req.url ?? "/");
      const place = routes.find(path);
      const pairs = decodePairs(query);
      const target = place && this.#select(place, pairs);
      if (place === undefined || target === undefined) {
        throw new ServiceError("downlease.operation.not_found", [
          this.#req.method ?? "",
          shorten(this.#req.url ?? ""),
        ]);
      }
      this.#operation = target.binding.name;
      const request = await this.#readRequest(target, place, pairs);
      this.#isInCorridor = true;
      this.#answer(target, place.dialect, await target.binding.run(request, this));
    } catch (reason) {
      this.#refuse(asServiceError(reason, this));
    }
  }

  #select({ dialect, targets }: Place, query: readonly Pair[]): Target | undefined {
    const actions = query.filter(([name]) => name === dialect.actionParameter);
    if (actions.length > 1) throw new ServiceError("downlease.argument.repeated", [dialect.actionParameter]);
    return targets.get(this.#req.method ?? "")?.get(actions[0]?.[1] ?? "");
  }

  /** Parameters may come from the path, the query string and the body, and must agree where they meet. */
  async #readRequest(target: Target, place: Place, query: readonly Pair[]): Promise<Message> {
    const { binding } = target;
    const request = create(binding.request.desc);
    const bind = (tree: TreeObject, textual: boolean) =>
      bindInto(request, binding.request, tree, textual, binding.operationId);
    // A GET has no body that counts, even if some clients send `{}`.
    if (this.#req.method !== "GET") {
      const body = await readBody(this.#req, this.#options.maxBodyBytes);
      if (body.length > 0) {
        const { "content-type": type, "content-encoding": encoding } = this.#req.headers;
        const format = requestFormat(type, encoding);
        if (format === "json") bind(decodeJson(body), false);
        else bind(format === "xml" ? decodeXml(body, binding.inputRoot) : decodeForm(body), true);
      }
    }
    // Other query parameters are not ours: callers may add their own for tracing.
    const ours = query.filter(([name]) => binding.request.fields.has(name.split(".", 1)[0]!));
    if (ours.length > 0) bind(nest(ours), true);
    if (place.values.length > 0) bind(pathMembers(target, place), true);
    return request;
  }

  #answer({ binding, status }: Target, dialect: Dialect, response: object): void {
    const result = binding.result && dialect.wrapResult(binding.result(response));
    this.#write(status, result, binding.resultRoot);
  }

  #refuse(error: ServiceError): void {
    if (!this.#isInCorridor) {
      const { kind: outcome } = error;
      const durationMs = performance.now() - this.#startedAt;
      this.#options.observe({ call: this, operation: this.#operation, outcome, durationMs, error });
    }
    this.#write(errorKinds[error.kind].http, restDialect.wrapError(error), errorRoot);
    // What is left of a body that was refused: unread, it would block the connection.
    this.#req.resume();
  }

  /** Writes the tree as JSON or XML, or no body at all. */
  #write(status: number, tree: TreeObject | undefined, root: XmlRoot): void {
    if (this.#res.destroyed) return;
    const headers: OutgoingHttpHeaders = { "x-request-id": this.requestId, "cache-control": "no-store" };
    let body = "";
    if (tree !== undefined) {
      const type = responseType(this.#req.headers.accept);
      headers["content-type"] = type;
      body = type === "application/json" ? encodeJson(tree) : encodeXml(tree, root);
    }
    headers["content-length"] = Buffer.byteLength(body);
    this.#res.writeHead(status, headers);
    this.#res.end(body);
  }
}

function splitUrl(url: string): [path: string, query: string] {
  const mark = url.indexOf("?");
  return mark < 0 ? [url, ""] : [url.slice(0, mark), url.slice(mark + 1)];
}

/** Enough of a URL to recognise it in an error message. */
function shorten(url: string): string {
  return url.length > 200 ? `${url.slice(0, 200)}…` : url;
}
