import { setTimeout as sleep } from "node:timers/promises";
import { create, type DescMessage, type FileRegistry, type Message } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { type Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import type { Call } from "../../src/calls/call.ts";
import { type Operations, operation } from "../../src/calls/pipeline.ts";
import { parseConnectTimeoutMs, parseGrpcTimeoutMs } from "../../src/protocols/rpc/deadline.ts";
import { type Answer, decorate, headersOf, type Metadata } from "./answer.ts";
import { isCall, methodOf, responseOf, serviceIn } from "./suite-server.ts";

interface Header {
  readonly name: string;
  readonly value: readonly string[];
}

interface SuiteError {
  readonly code: Code;
  readonly message?: string;
  readonly details: readonly Any[];
}

interface Definition {
  readonly responseHeaders: readonly Header[];
  readonly responseTrailers: readonly Header[];
  readonly responseDelayMs: number;
}

type UnaryDefinition = Definition & {
  readonly response:
    | { readonly case: "responseData"; readonly value: Uint8Array }
    | { readonly case: "error"; readonly value: SuiteError }
    | { readonly case: undefined };
};

type StreamDefinition = Definition & {
  readonly responseData: readonly Uint8Array[];
  readonly error?: SuiteError;
};

type UnaryRequest = Message & { readonly responseDefinition?: UnaryDefinition };
type StreamRequest = Message & {
  readonly responseDefinition?: StreamDefinition;
  readonly fullDuplex?: boolean;
};

/** What a method knows of its request. */
interface Request {
  readonly headers: Iterable<[string, string[]]>;
  readonly timeoutMs: number | undefined;
  /** Of a request with GET. */
  readonly query?: URLSearchParams | undefined;
}

/** `connectrpc.conformance.v1.ConformanceService`, which answers as its requests ask. */
export class ConformanceService {
  readonly #service;
  readonly #payload: DescMessage;
  readonly #info: DescMessage;

  constructor(types: FileRegistry) {
    this.#service = serviceIn(types, "connectrpc.conformance.v1.ConformanceService");
    this.#payload = types.getMessage("connectrpc.conformance.v1.ConformancePayload")!;
    this.#info = types.getMessage("connectrpc.conformance.v1.ConformancePayload.RequestInfo")!;
  }

  /** The unary methods, as the fast lane serves them. */
  get operations(): Operations {
    const unary = ["Unary", "IdempotentUnary"].map((name) => {
      const method = methodOf(this.#service, name, "unary");
      return operation({
        method,
        run: async (request, _caller, call) => {
          const { answer, message } = this.#answerTo([request], method, requestOf(call));
          await sleep((request as UnaryRequest).responseDefinition?.responseDelayMs ?? 0);
          decorate(call, responseOf(call), answer);
          return message;
        },
      });
    });
    return { unary, streams: [], serverStreams: [] };
  }

  /** All methods but the one that has to be unknown. */
  addRoutes(router: ConnectRouter): void {
    for (const name of ["Unary", "IdempotentUnary"]) {
      const method = methodOf(this.#service, name, "unary");
      router.rpc(method, (request, context) => this.#answer([request], method, context));
    }
    const clientStream = methodOf(this.#service, "ClientStream", "client_streaming");
    router.rpc(clientStream, async (requests, context) =>
      this.#answer(await allOf(requests), clientStream, context),
    );
    const serverStream = methodOf(this.#service, "ServerStream", "server_streaming");
    router.rpc(serverStream, (request, context) => {
      const requests = [request] as StreamRequest[];
      return this.#stream(requests, requests, serverStream, context);
    });
    const bidiStream = methodOf(this.#service, "BidiStream", "bidi_streaming");
    router.rpc(bidiStream, (requests, context) =>
      this.#converse(requests as AsyncIterable<StreamRequest>, bidiStream, context),
    );
  }

  async #answer(
    requests: readonly Message[],
    method: { readonly output: DescMessage },
    context: HandlerContext,
  ): Promise<Message> {
    isCall(context);
    const { answer, message } = this.#answerTo(requests, method, requestIn(context));
    append(context, answer);
    await sleep((requests[0] as UnaryRequest | undefined)?.responseDefinition?.responseDelayMs ?? 0);
    if (answer.error !== undefined) throw answer.error;
    return message;
  }

  #answerTo(requests: readonly Message[], { output }: { readonly output: DescMessage }, request: Request) {
    const { responseDefinition: definition } = (requests[0] ?? {}) as UnaryRequest;
    const { response } = definition ?? {};
    const info = this.#infoOf(request, requests);
    const data = response?.case === "responseData" ? response.value : undefined;
    const message = create(output, { payload: this.#payloadOf(data, info) } as never);
    const error = response?.case === "error" ? this.#errorOf(response.value, info) : undefined;
    const answer: Answer = { ...metadataOf(definition), error };
    return { answer, message };
  }

  /** Reads all requests before the first answer, or answers each. */
  async *#converse(
    requests: AsyncIterable<StreamRequest>,
    method: { readonly output: DescMessage },
    context: HandlerContext,
  ): AsyncGenerator<Message> {
    const iterator = requests[Symbol.asyncIterator]();
    const { value: first } = await iterator.next();
    const rest = { [Symbol.asyncIterator]: () => iterator };
    if (first === undefined) return;
    if (first.fullDuplex === true) {
      yield* this.#stream([first], [first], method, context, iterator);
    } else {
      const all = [first, ...(await allOf(rest))];
      yield* this.#stream(all, all, method, context);
    }
  }

  /** @param next where the request of each further answer comes from, as long as there are any */
  async *#stream(
    [first]: readonly StreamRequest[],
    received: readonly StreamRequest[],
    { output }: { readonly output: DescMessage },
    context: HandlerContext,
    next?: AsyncIterator<StreamRequest>,
  ): AsyncGenerator<Message> {
    isCall(context);
    const { responseDefinition: definition } = first ?? {};
    if (definition === undefined) return;
    append(context, metadataOf(definition));
    let info: Message | undefined = this.#infoOf(requestIn(context), received);
    let source = next;
    for (const [index, data] of definition.responseData.entries()) {
      if (index > 0) {
        const request = await source?.next();
        if (request?.done !== false) source = undefined;
        info =
          request?.done === false
            ? create(this.#info, { requests: this.#anys([request.value]) } as never)
            : undefined;
      }
      await sleep(definition.responseDelayMs);
      yield create(output, { payload: this.#payloadOf(data, info) } as never);
    }
    // A request without an answer of its own is the time for the error.
    if (definition.responseData.length > 0) await source?.next();
    if (definition.error === undefined) return;
    throw this.#errorOf(definition.error, definition.responseData.length === 0 ? info : undefined);
  }

  #payloadOf(data: Uint8Array | undefined, requestInfo: Message | undefined): Message {
    return create(this.#payload, { ...(data && { data }), ...(requestInfo && { requestInfo }) } as never);
  }

  #infoOf({ headers, timeoutMs, query }: Request, requests: readonly Message[]): Message {
    const queryParams = [...(query ?? [])].map(([name, value]) => ({ name, value: [value] }));
    return create(this.#info, {
      requestHeaders: [...headers].map(([name, value]) => ({ name, value })),
      ...(timeoutMs !== undefined && { timeoutMs: BigInt(Math.floor(timeoutMs)) }),
      requests: this.#anys(requests),
      ...(query && { connectGetInfo: { queryParams } }),
    } as never);
  }

  #anys(requests: readonly Message[]): Any[] {
    return requests.map((request) => {
      const method = this.#service.methods.find(({ input }) => input.typeName === request.$typeName)!;
      return anyPack(method.input, request);
    });
  }

  #errorOf({ code, message = "", details }: SuiteError, info: Message | undefined): ConnectError {
    const error = new ConnectError(message, code);
    error.details = details.map(({ typeUrl, value }) => ({
      type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
      value,
    }));
    if (info !== undefined) error.details.push({ desc: this.#info, value: info as never });
    return error;
  }
}

async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

function metadataOf(definition: Definition | undefined) {
  return { headers: pairsOf(definition?.responseHeaders), trailers: pairsOf(definition?.responseTrailers) };
}

function pairsOf(headers: readonly Header[] = []): Metadata {
  return headers.flatMap(({ name, value }) => value.map((each) => [name, each] as const));
}

function append(context: HandlerContext, { headers, trailers }: Answer): void {
  for (const [name, value] of headers) context.responseHeader.append(name, value);
  for (const [name, value] of trailers) context.responseTrailer.append(name, value);
}

function requestOf({ headers }: Call): Request {
  return { headers: headersOf(headers), timeoutMs: timeoutIn((name) => headers[name]) };
}

function requestIn({ requestHeader, requestMethod, url }: HandlerContext): Request {
  return {
    headers: [...requestHeader].map(([name, value]) => [name, [value]]),
    timeoutMs: timeoutIn((name) => requestHeader.get(name)),
    query: requestMethod === "GET" ? new URL(url).searchParams : undefined,
  };
}

/** As it was sent: what is left of it depends on the speed of the machine. */
function timeoutIn(header: (name: string) => unknown): number | undefined {
  const ofConnect = parseConnectTimeoutMs(String(header("connect-timeout-ms")));
  const timeoutMs = Number.isNaN(ofConnect) ? parseGrpcTimeoutMs(String(header("grpc-timeout"))) : ofConnect;
  return Number.isNaN(timeoutMs) ? undefined : timeoutMs;
}
