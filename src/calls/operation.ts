import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageShape,
} from "@bufbuild/protobuf";
import type { ServiceError } from "../domain/errors.ts";
import type { Caller } from "../domain/session.ts";
import type { AuditDetails } from "./audit.ts";
import type { Call } from "./call.ts";
import type { Encoder } from "./encoder.ts";

/** One row of the table of operations. */
export interface Operation<I extends DescMessage = DescMessage, O extends DescMessage = DescMessage> {
  readonly method: DescMethodUnary<I, O>;
  /** High volume: successes are logged at debug. */
  readonly isRoutine?: boolean;
  /** Whether callers need no credentials, and those that they send do not count. */
  readonly isPublic?: boolean;
  /** Whether callers authenticate with credentials for logging in, such as a password. */
  readonly isLogin?: boolean;
  /** Whether only operators of the service may call it. */
  readonly isAdministration?: boolean;
  /** Whether the call closes its login session. */
  readonly isLogout?: boolean;
  /** Encodes the response in place of `toBinary`, on protocols that support it. */
  readonly encode?: Encoder<O>;
  /** Weight of a request among the calls in flight; 1 when left out. */
  weight?(request: MessageShape<I>): number;
  /** Whether it changes something, so that the audit log has an entry for each call. */
  readonly changes?: boolean;
  /** Id of the download session that a call is about, for the logs; with the response once there is one. */
  sessionId?(request: MessageShape<I>, response?: MessageShape<O>): string | undefined;
  /** Id of the library item that a call is about, for the logs. Not asked for when the operation is routine. */
  itemId?(request: MessageShape<I>): string | undefined;
  /** What else the audit log has about a call; with the response once there is one. */
  auditDetails?(request: MessageShape<I>, response?: MessageShape<O>): AuditDetails;
  /** Checks the arguments and does the work. Throws ServiceError. */
  run(request: MessageShape<I>, caller: Caller, call: Call): Promise<MessageShape<O>>;
}

/** An operation on a stream of requests: one response for each request, in the order of the requests. */
export interface StreamOperation<I extends DescMessage = DescMessage, O extends DescMessage = DescMessage> {
  readonly method: DescMethodBiDiStreaming<I, O>;
  /** Encodes a response in place of `toBinary`, on protocols that support it. */
  readonly encode?: Encoder<O>;
  /**
   * Responds to the requests that have arrived together. An error of a single request is part of its response; throws
   * ServiceError for errors that end the stream.
   *
   * @param clientAddress when the stream began
   */
  answer(
    requests: readonly MessageShape<I>[],
    caller: Caller,
    clientAddress: string,
  ): Promise<readonly MessageShape<O>[]>;
}

/** How an operation ends its stream of answers, and how it learns that the stream is over. */
export interface StreamEnd {
  /** Aborts when the stream is over, however it ends. */
  readonly over: AbortSignal;
  /** Ends the stream with an error, also while its caller takes no answer. */
  end(error: ServiceError): void;
}

/** An operation with one request and any number of answers. */
export interface ServerStreamOperation<
  I extends DescMessage = DescMessage,
  O extends DescMessage = DescMessage,
> {
  readonly method: DescMethodServerStreaming<I, O>;
  /** Whether only operators of the service may call it. */
  readonly isAdministration?: boolean;
  /** Encodes an answer in place of `toBinary`, on protocols that support it: answers may be for many callers. */
  readonly encode?: Encoder<O>;
  /**
   * The answers, each requested once its caller has taken the one before; they end when `stream.over` aborts. Throws
   * ServiceError for errors that end the stream.
   */
  answers(request: MessageShape<I>, caller: Caller, stream: StreamEnd): AsyncIterable<MessageShape<O>>;
}

export interface Operations {
  readonly unary: readonly Operation[];
  readonly streams: readonly StreamOperation[];
  readonly serverStreams: readonly ServerStreamOperation[];
}

/** The methods of all operations. */
export function methodsOf({ unary, streams, serverStreams }: Operations): DescMethod[] {
  return [...unary, ...streams, ...serverStreams].map(({ method }) => method);
}

/** Names of the services that have operations, for example `cis.v1.SessionService`. */
export function serviceNamesOf(operations: Operations): string[] {
  return [...new Set(methodsOf(operations).map(({ parent }) => parent.typeName))];
}

/** A row of the table of operations, checked with the types of its messages; the table itself has no such types. */
export function operation<I extends DescMessage, O extends DescMessage>(row: Operation<I, O>): Operation {
  return row as unknown as Operation;
}

/** As `operation`, for a stream. */
export function streamOperation<I extends DescMessage, O extends DescMessage>(
  row: StreamOperation<I, O>,
): StreamOperation {
  return row as unknown as StreamOperation;
}

/** As `operation`, for a stream of answers. */
export function serverStreamOperation<I extends DescMessage, O extends DescMessage>(
  row: ServerStreamOperation<I, O>,
): ServerStreamOperation {
  return row as unknown as ServerStreamOperation;
}

/** For example `DownloadSession.KeepAlive`. */
export function operationNameOf(method: DescMethod): string {
  return `${method.parent.name.replace(/Service$/, "")}.${method.name}`;
}

/** Identifies the caller, or throws ServiceError `unauthenticated`. */
export type Authenticate = (call: Call) => Caller | Promise<Caller>;
