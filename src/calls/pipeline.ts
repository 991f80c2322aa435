import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { ServiceError } from "../domain/errors.ts";
import { noRoles } from "../domain/roles.ts";
import type { Caller } from "../domain/session.ts";
import type { Admission } from "./admission.ts";
import { type Audit, type AuditedRecord, auditRecordOf } from "./audit.ts";
import { asServiceError, type Call, type CallObserver } from "./call.ts";
import type { ClientAddressOf } from "./client-address.ts";
import {
  type Authenticate,
  type Operation,
  type Operations,
  operationNameOf,
  type ServerStreamOperation,
  type StreamOperation,
} from "./operation.ts";
import type { ServerStreamEntry } from "./server-stream.ts";
import type { ShareHolders } from "./share-holders.ts";
import { StreamCalls, type StreamEntry } from "./stream-calls.ts";

export { asServiceError } from "./call.ts";
export {
  type Authenticate,
  methodsOf,
  type Operation,
  type Operations,
  operation,
  operationNameOf,
  type ServerStreamOperation,
  type StreamEnd,
  type StreamOperation,
  serverStreamOperation,
  serviceNamesOf,
  streamOperation,
} from "./operation.ts";
export type { ServerStream, ServerStreamEntry } from "./server-stream.ts";
export type { Conversation, StreamEntry } from "./stream-calls.ts";

/** A request message, or a function that reads it once the caller is authenticated. Throws ServiceError. */
export type RequestSource = MessageShape<DescMessage> | (() => MessageShape<DescMessage>);

/** Runs an operation through the whole pipeline. Rejects only with ServiceError. */
export type Entry = (request: RequestSource, call: Call) => Promise<MessageShape<DescMessage>>;

/** Delay before a refusal for overload is sent. */
const refusalPauseMs = 100;

const stranger: Caller = { principal: "stranger", roles: noRoles };
const asStranger: Authenticate = () => stranger;

export interface CallPipelineOptions {
  readonly operations: Operations;
  readonly authenticate: Authenticate;
  /** For login operations; `authenticate` when left out. */
  readonly login?: Authenticate;
  /** For administration: refuses callers that are no operators; `authenticate` when left out. */
  readonly administrate?: Authenticate;
  readonly admission: Admission;
  /** Open streams, by principal. */
  readonly streams: ShareHolders;
  /**
   * Open streams of strangers, by address. While nobody has to authenticate, a stream is one until its first request.
   */
  readonly strangers: ShareHolders;
  /** Whether nobody has to authenticate. Everybody is one principal then, so addresses share the streams. */
  readonly isOpen?: boolean;
  readonly clientAddressOf: ClientAddressOf;
  readonly observe: CallObserver;
  readonly audit?: Audit | undefined;
}

/**
 * The way of every call from its protocol to its operation: admit → authenticate → read → run → map errors → observe.
 * Protocols look up the entries of their methods once, at start-up.
 */
export class CallPipeline {
  readonly operations: Operations;
  readonly #authenticate: Authenticate;
  readonly #login: Authenticate;
  readonly #administrate: Authenticate;
  readonly #admission: Admission;
  readonly #observe: CallObserver;
  readonly #clientAddressOf: ClientAddressOf;
  readonly #audit: Audit | undefined;
  readonly #streams: StreamCalls;
  /** Made once: creating an error costs more than the refusal, which has to be cheap. */
  readonly #overloaded = ServiceError.overloaded();

  constructor(options: CallPipelineOptions) {
    const { operations, authenticate, admission, observe } = options;
    const { login = authenticate, administrate = authenticate, isOpen = false } = options;
    this.operations = operations;
    this.#authenticate = authenticate;
    this.#login = login;
    this.#administrate = administrate;
    this.#admission = admission;
    this.#observe = observe;
    this.#clientAddressOf = options.clientAddressOf;
    this.#audit = options.audit;
    this.#streams = new StreamCalls({ ...options, administrate, isOpen, overloaded: this.#overloaded });
  }

  /** Costs one promise and two functions a call, and must not cost more: every keep-alive passes here. */
  entry(row: Operation): Entry {
    const operation = operationNameOf(row.method);
    const { isRoutine, isPublic = false } = row;
    const itemOf = isRoutine ? undefined : row.itemId;
    const audit = this.#auditFor(row);
    const authenticate = this.#authenticateFor(row);
    return (source, call) =>
      new Promise((resolve, reject) => {
        const startedAt = performance.now();
        const { connection } = call;
        let request = typeof source === "function" ? undefined : source;
        const weight = request === undefined ? 1 : (row.weight?.(request) ?? 1);
        const isAdmitted = this.#admission.enter(connection, weight);
        let identified: Caller | undefined;
        let isOver = false;
        const end = (error: ServiceError | undefined, response?: MessageShape<DescMessage>): void => {
          isOver = true;
          if (isAdmitted) this.#admission.leave(connection, weight);
          const outcome = error?.kind ?? "ok";
          const durationMs = performance.now() - startedAt;
          const sessionId = request && row.sessionId?.(request, response);
          const itemId = request && itemOf?.(request);
          const record: AuditedRecord = {
            call,
            operation,
            outcome,
            durationMs,
            isRoutine,
            sessionId,
            itemId,
            error,
          };
          this.#observe(record);
          if (isAdmitted) audit?.(record, identified, request, response);
        };
        const fail = (reason: unknown): void => {
          if (isOver) return;
          const error = asServiceError(reason, call);
          end(error);
          reject(error);
        };
        const succeed = (response: MessageShape<DescMessage>): void => {
          if (isOver) return;
          end(undefined, response);
          resolve(response);
        };
        if (!isAdmitted) return this.#refuse(call, end, reject);
        if (call.abortedWith !== undefined) return fail(new ServiceError(call.abortedWith));
        // The operation goes on when its call is aborted; its response is dropped.
        call.onAbort = (reason) => fail(new ServiceError(reason));
        try {
          const runAs = (caller: Caller) => {
            if (!connection.isTrusted && !isPublic) connection.trust();
            identified = caller;
            request ??= (source as () => MessageShape<DescMessage>)();
            return row.run(request, caller, call);
          };
          const caller = authenticate(call);
          const response = caller instanceof Promise ? caller.then(runAs) : runAs(caller);
          response.then(succeed, fail);
        } catch (reason) {
          fail(reason);
        }
      });
  }

  /** Undefined when there is nothing to record. Calls that are refused for overload are not: they come in masses. */
  #auditFor(row: Operation) {
    const audit = this.#audit;
    if (audit === undefined || !row.changes) return undefined;
    return (
      record: AuditedRecord,
      caller: Caller | undefined,
      request: MessageShape<DescMessage> | undefined,
      response: MessageShape<DescMessage> | undefined,
    ): void => {
      const details = request && row.auditDetails?.(request, response);
      const isLogin = row.isLogin ?? false;
      audit(auditRecordOf({ ...record, caller, isLogin, details }, this.#clientAddressOf));
    };
  }

  #authenticateFor({ isPublic, isLogin, isAdministration }: Operation): Authenticate {
    if (isPublic) return asStranger;
    if (isLogin) return this.#login;
    return isAdministration ? this.#administrate : this.#authenticate;
  }

  /**
   * Records the refusal now and sends it a little later. Otherwise callers that retry at once would use more of the
   * server for their refusals than the calls in flight use.
   */
  #refuse(call: Call, end: (error: ServiceError) => void, reject: (error: ServiceError) => void): void {
    const error = this.#overloaded;
    end(error);
    const timer = setTimeout(reject, refusalPauseMs, error);
    call.onAbort = (reason) => {
      clearTimeout(timer);
      reject(new ServiceError(reason));
    };
  }

  streamEntry(row: StreamOperation): StreamEntry {
    return this.#streams.entry(row);
  }

  /** @param streamsMustEnd ends the stream with an error */
  serverStreamEntry(row: ServerStreamOperation, streamsMustEnd: AbortSignal): ServerStreamEntry {
    return this.#streams.serverEntry(row, streamsMustEnd);
  }
}
