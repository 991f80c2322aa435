import { setTimeout as sleep } from "node:timers/promises";
import { create, type DescMessage, type FileRegistry, type Message } from "@bufbuild/protobuf";
import { type Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import {
  type Operations,
  operation,
  serverStreamOperation,
  streamOperation,
} from "../../src/calls/pipeline.ts";
import { type Answer, decorate, type Metadata } from "./answer.ts";
import { isCall, methodOf, responseOf, serviceIn } from "./suite-server.ts";

interface Payload {
  readonly body: Uint8Array;
}

interface EchoStatus {
  readonly code: Code;
  readonly message: string;
}

type UnaryRequest = Message & { readonly responseSize: number; readonly responseStatus?: EchoStatus };
type InputRequest = Message & { readonly payload?: Payload };
type OutputRequest = Message & {
  readonly responseParameters: readonly { readonly size: number; readonly intervalUs: number }[];
  readonly responseStatus?: EchoStatus;
};

/** Metadata that a method sends back, as headers and as trailers. */
const echoedHeader = "x-grpc-test-echo-initial";
const echoedTrailer = "x-grpc-test-echo-trailing-bin";

/** `grpc.testing.TestService`, as gRPC's description of its interoperability tests wants it. */
export class InteropService {
  readonly #service;
  readonly #payload: DescMessage;

  constructor(types: FileRegistry) {
    this.#service = serviceIn(types, "grpc.testing.TestService");
    this.#payload = types.getMessage("grpc.testing.Payload")!;
  }

  /**
   * What the fast lane serves: the unary methods, and the bidirectional stream if wanted. There, a stream has neither
   * metadata nor an error of its own.
   */
  operations({ withStream }: { readonly withStream: boolean }): Operations {
    const unary = ["EmptyCall", "UnaryCall"].map((name) => {
      const method = methodOf(this.#service, name, "unary");
      return operation({
        method,
        async run(request, _caller, call) {
          decorate(
            call,
            responseOf(call),
            answerTo(request as UnaryRequest, (key) => call.headers[key]),
          );
          return respond(request);
        },
      });
    });
    const respond = (request: Message) => this.#respond(request as UnaryRequest);
    const stream = streamOperation({
      method: methodOf(this.#service, "FullDuplexCall", "bidi_streaming"),
      answer: async (requests) => {
        const answers: Message[] = [];
        for (const request of requests as OutputRequest[]) {
          for await (const answer of this.#output(request)) answers.push(answer);
        }
        return answers;
      },
    });
    const answers = serverStreamOperation({
      method: methodOf(this.#service, "StreamingOutputCall", "server_streaming"),
      answers: (request) => this.#output(request as OutputRequest),
    });
    return {
      unary,
      streams: withStream ? [stream] : [],
      serverStreams: withStream ? [answers] : [],
    };
  }

  addRoutes(router: ConnectRouter, { withStream }: { readonly withStream: boolean }): void {
    for (const name of ["EmptyCall", "UnaryCall"]) {
      router.rpc(methodOf(this.#service, name, "unary"), (request, context) => {
        begin(context, request as UnaryRequest);
        return this.#respond(request as UnaryRequest);
      });
    }
    const input = methodOf(this.#service, "StreamingInputCall", "client_streaming");
    router.rpc(input, async (requests, context) => {
      isCall(context);
      let aggregatedPayloadSize = 0;
      for await (const { payload } of requests as AsyncIterable<InputRequest>) {
        aggregatedPayloadSize += payload?.body.length ?? 0;
      }
      return create(input.output, { aggregatedPayloadSize } as never);
    });
    if (withStream) return;
    const output = methodOf(this.#service, "StreamingOutputCall", "server_streaming");
    router.rpc(output, (request, context) => {
      isCall(context);
      return this.#output(request as OutputRequest);
    });
    const duplex = methodOf(this.#service, "FullDuplexCall", "bidi_streaming");
    router.rpc(duplex, (requests, context) =>
      this.#converse(requests as AsyncIterable<OutputRequest>, context),
    );
  }

  async *#converse(requests: AsyncIterable<OutputRequest>, context: HandlerContext): AsyncGenerator<Message> {
    begin(context);
    for await (const request of requests) {
      yield* this.#output(request);
      const error = errorOf(request.responseStatus);
      if (error !== undefined) throw error;
    }
  }

  async *#output({ responseParameters }: OutputRequest): AsyncGenerator<Message> {
    const { output } = methodOf(this.#service, "FullDuplexCall", "bidi_streaming");
    for (const { size, intervalUs } of responseParameters) {
      await sleep(intervalUs / 1000);
      yield create(output, { payload: this.#payloadOf(size) } as never);
    }
  }

  #respond({ $typeName, responseSize }: UnaryRequest): Message {
    const { input, output } = methodOf(this.#service, "UnaryCall", "unary");
    if ($typeName !== input.typeName) return create(methodOf(this.#service, "EmptyCall", "unary").output);
    return create(output, { payload: this.#payloadOf(responseSize) } as never);
  }

  #payloadOf(size: number): Message {
    return create(this.#payload, { body: new Uint8Array(size) } as never);
  }
}

function answerTo({ responseStatus }: Partial<UnaryRequest>, header: (name: string) => unknown): Answer {
  const echo = (name: string): Metadata => {
    const value = header(name);
    return typeof value === "string" ? [[name, value]] : [];
  };
  return { headers: echo(echoedHeader), trailers: echo(echoedTrailer), error: errorOf(responseStatus) };
}

function errorOf(status: EchoStatus | undefined): ConnectError | undefined {
  return status === undefined ? undefined : new ConnectError(status.message, status.code);
}

/** @throws ConnectError when the request asks for one */
function begin(context: HandlerContext, request: Partial<UnaryRequest> = {}): void {
  isCall(context);
  const { headers, trailers, error } = answerTo(request, (name) => context.requestHeader.get(name));
  for (const [name, value] of headers) context.responseHeader.set(name, value);
  for (const [name, value] of trailers) context.responseTrailer.set(name, value);
  if (error !== undefined) throw error;
}
