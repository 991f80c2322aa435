import type { Message } from "@bufbuild/protobuf";
import type { Serialization } from "@connectrpc/connect/protocol";
import { codeToHttpStatus, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { notSniffed } from "../../../calls/page-headers.ts";
import { metadataOf } from "../../../calls/status.ts";
import type { ServiceError } from "../../../domain/errors.ts";
import { connectErrorOf } from "../errors.ts";
import type { HttpExchange } from "./http-exchange.ts";
import type { Lane, LaneMethod } from "./lane.ts";
import { UnaryCall } from "./unary-call.ts";

/** JSON or protobuf messages in Connect's unary protocol. */
export interface Representation {
  readonly contentType: "application/json" | "application/proto";
  readonly request: Serialization<Message>;
  readonly response: Serialization<Message>;
}

/** A unary Connect call, over either HTTP version. */
export class ConnectCall extends UnaryCall {
  readonly protocol = "connect";
  protected readonly maxBodyBytes: number;
  readonly #exchange: HttpExchange;
  readonly #representation: Representation;

  constructor(lane: Lane, method: LaneMethod, exchange: HttpExchange, representation: Representation) {
    super(lane, method, exchange);
    this.maxBodyBytes = lane.maxMessageBytes;
    this.#exchange = exchange;
    this.#representation = representation;
    exchange.response?.on("close", () => this.abort("downlease.call.canceled"));
  }

  protected parse(body: Buffer): Message {
    return this.#representation.request.parse(body);
  }

  protected answer(response: Message): void {
    const { contentType, response: serialization } = this.#representation;
    const headers = this.returnsRequestId(this.method.isRoutine) ? ["x-request-id", this.requestId] : [];
    this.#respond(200, contentType, serialization.serialize(response), headers);
  }

  protected refuse(error: ServiceError): void {
    const connectError = connectErrorOf(error);
    const status = codeToHttpStatus(connectError.code);
    const body = errorToJsonBytes(connectError, undefined);
    const headers = ["x-request-id", this.requestId, ...Object.entries(metadataOf(error)).flat()];
    this.#respond(status, "application/json", body, headers);
  }

  protected handOver(body: AsyncIterable<Uint8Array>): void {
    this.#exchange.handOver(this.method, body);
  }

  #respond(status: number, contentType: string, body: Uint8Array, headers: string[]): void {
    headers.push("content-type", contentType, "content-length", String(body.byteLength), ...notSniffed);
    this.#exchange.respond(status, headers, body);
    this.connection.answered(body.byteLength);
  }
}
