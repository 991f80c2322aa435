import { create, type MessageShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { v5 as nameBasedUuid } from "uuid";
import {
  BatchKeepAliveResponseSchema,
  CancelResponseSchema,
  CreateResponseSchema,
  DeleteResponseSchema,
  DownloadSessionModel_State,
  DownloadSessionModelSchema,
  DownloadSessionService,
  FailResponseSchema,
  GetResponseSchema,
  type KeepAliveRequest,
  KeepAliveResponseSchema,
  type KeepAliveResult,
  KeepAliveResultSchema,
  KeepAliveStreamResponseSchema,
  ListResponseSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { type Operation, type Operations, operation, streamOperation } from "../calls/pipeline.ts";
import type { SessionClients } from "../calls/session-clients.ts";
import { statusOf } from "../calls/status.ts";
import type { ContentSource } from "../domain/content-source.ts";
import { type ErrorKind, ServiceError, textOf } from "../domain/errors.ts";
import { isClientToken } from "../domain/identifiers.ts";
import { restsOnUser } from "../domain/proof.ts";
import {
  type Caller,
  keptErrorMessage,
  type Refusal,
  type Renewal,
  type Session,
  type SessionState,
} from "../domain/session.ts";
import type { SessionStore } from "../domain/session-store.ts";
import { identifier, lookUpItem } from "./arguments.ts";
import { encodeKeepAlive, encodeKeepAliveBatch, encodeKeepAliveStream } from "./keep-alive-encoder.ts";

const rpc = DownloadSessionService.method;
/** Namespace of the ids that are derived from a client token. */
const tokenNamespace = "6a8f4a2e-5c1d-4f0b-9c1e-7d3b2a90e5f4";
const sessionId = (request: { readonly downloadSessionId: string }) => request.downloadSessionId;

/** Keep-alives that one batch may contain. */
const maxBatch = 1000;
/** How many times more a keep-alive costs in a call of its own than in a batch. */
const batchDiscount = 8;

/** Outcome of a keep-alive in a batch or a stream. */
export type KeepAliveOutcome = "ok" | ErrorKind;

export interface DownloadSessionParts {
  readonly store: SessionStore;
  readonly content: ContentSource;
  /** Called for each keep-alive of a batch or a stream, which share one call. */
  readonly countKeepAlive?: ((outcome: KeepAliveOutcome) => void) | undefined;
  /** Follows the clients that create and renew sessions. */
  readonly clients?: Pick<SessionClients, "called" | "calledFrom" | "addressOf"> | undefined;
}

/**
 * The operations of `com.vmware.content.library.item.download_session`, and those for callers with many sessions.
 */
export function downloadSessionOperations(parts: DownloadSessionParts): Operations {
  const { unary, streams } = keepAliveOperations(parts);
  return { unary: [...lifeCycleOperations(parts), ...unary], streams, serverStreams: [] };
}

/** Everything from creation to deletion but the keep-alives. */
function lifeCycleOperations({ store, content, clients }: DownloadSessionParts): Operation[] {
  return [
    operation({
      method: rpc.create,
      changes: true,
      sessionId: (_, response) => response?.downloadSessionId,
      itemId: (request) => request.createSpec?.libraryItemId,
      async run(request, caller, call) {
        const itemId = identifier(request.createSpec?.libraryItemId, "create_spec.library_item_id");
        const token = request.clientToken;
        if (token !== undefined && !isClientToken(token)) {
          throw new ServiceError("downlease.argument.client_token");
        }
        const item = await lookUpItem(content, itemId);
        const session = await store.create({
          id: token === undefined ? crypto.randomUUID() : idFromToken(caller, token),
          owner: caller.principal,
          libraryItemId: item.id,
          contentVersion: item.contentVersion,
          ...(restsOnUser(caller.proof) && { endsWithUser: true }),
        });
        clients?.called(session.id, call);
        return create(CreateResponseSchema, { downloadSessionId: session.id });
      },
    }),
    operation({
      method: rpc.get,
      sessionId,
      async run(request, caller) {
        const id = identifier(request.downloadSessionId, "download_session_id");
        const session = await store.get(id, caller);
        if (session === undefined) throw new ServiceError("downlease.session.not_found", [id]);
        return create(GetResponseSchema, { downloadSession: modelOf(session) });
      },
    }),
    operation({
      method: rpc.list,
      async run(request, caller) {
        if (request.libraryItemId !== undefined) {
          await lookUpItem(content, identifier(request.libraryItemId, "library_item_id"));
        }
        const downloadSessionIds = await store.list(caller.principal, request.libraryItemId);
        return create(ListResponseSchema, { downloadSessionIds });
      },
    }),
    operation({
      method: rpc.cancel,
      changes: true,
      sessionId,
      async run(request, caller) {
        const id = identifier(request.downloadSessionId, "download_session_id");
        const result = await store.finish(id, caller, "CANCELED");
        if (result.outcome !== "finished") throw refusalError(id, result);
        return create(CancelResponseSchema);
      },
    }),
    operation({
      method: rpc.fail,
      changes: true,
      sessionId,
      auditDetails: ({ clientErrorMessage }) => ({ error_message: clientErrorMessage }),
      async run(request, caller) {
        const id = identifier(request.downloadSessionId, "download_session_id");
        const message = keptErrorMessage(request.clientErrorMessage);
        const result = await store.finish(id, caller, "ERROR", message);
        if (result.outcome !== "finished") throw refusalError(id, result);
        return create(FailResponseSchema);
      },
    }),
    operation({
      method: rpc.delete,
      changes: true,
      sessionId,
      async run(request, caller) {
        const id = identifier(request.downloadSessionId, "download_session_id");
        if (!(await store.delete(id, caller))) throw new ServiceError("downlease.session.not_found", [id]);
        return create(DeleteResponseSchema);
      },
    }),
  ];
}

/** Keep-alives one by one, in batches and in streams. */
function keepAliveOperations(parts: DownloadSessionParts): Pick<Operations, "unary" | "streams"> {
  const { store, clients } = parts;
  const keepAliveAll = batchKeepAlives(parts);
  const unary = [
    operation({
      method: rpc.keepAlive,
      isRoutine: true,
      encode: encodeKeepAlive,
      sessionId,
      run(request, caller, call) {
        const { id, progress } = readHeartbeat(request);
        return store.keepAlive(id, caller, progress).then((result) => {
          if (result.outcome !== "renewed") throw refusalError(id, result);
          clients?.called(id, call);
          return create(KeepAliveResponseSchema, {
            expirationTime: timestampFromMs(result.expiresAt),
            clientProgress: BigInt(result.progress),
          });
        });
      },
    }),
    operation({
      method: rpc.batchKeepAlive,
      isRoutine: true,
      encode: encodeKeepAliveBatch,
      weight: ({ keepAlives }) => Math.max(1, keepAlives.length / batchDiscount),
      async run({ keepAlives }, caller, call) {
        const { length } = keepAlives;
        if (length > maxBatch) {
          throw new ServiceError("downlease.argument.too_many", ["keep_alives", `${length}`, `${maxBatch}`]);
        }
        const results = await keepAliveAll(keepAlives, caller, clients?.addressOf(call));
        return create(BatchKeepAliveResponseSchema, { results });
      },
    }),
  ];
  const streams = [
    streamOperation({
      method: rpc.keepAliveStream,
      encode: encodeKeepAliveStream,
      async answer(requests, caller, clientAddress) {
        const results = await keepAliveAll(requests, caller, clientAddress);
        return results.map((result) => create(KeepAliveStreamResponseSchema, { result }));
      },
    }),
  ];
  return { unary, streams };
}

type KeepAliveAll = (
  requests: readonly KeepAliveFields[],
  caller: Caller,
  clientAddress: string | undefined,
) => Promise<KeepAliveResult[]>;

/** Runs keep-alives that share a call. Each has a result of its own: a renewal or an error. */
function batchKeepAlives({ store, countKeepAlive, clients }: DownloadSessionParts): KeepAliveAll {
  const renewed = (downloadSessionId: string, { expiresAt, progress }: Renewal) => {
    countKeepAlive?.("ok");
    const expirationTime = timestampFromMs(expiresAt);
    return create(KeepAliveResultSchema, {
      downloadSessionId,
      expirationTime,
      clientProgress: BigInt(progress),
    });
  };
  const refuse = (downloadSessionId: string, error: ServiceError) => {
    countKeepAlive?.(error.kind);
    return create(KeepAliveResultSchema, { downloadSessionId, error: statusOf(error) });
  };
  return async (requests, caller, clientAddress) => {
    const results = new Array<KeepAliveResult>(requests.length);
    const heartbeats: ReturnType<typeof readHeartbeat>[] = [];
    /** Index of the result of each heartbeat. */
    const indexes: number[] = [];
    for (const [index, request] of requests.entries()) {
      try {
        heartbeats.push(readHeartbeat(request));
        indexes.push(index);
      } catch (error) {
        if (!(error instanceof ServiceError)) throw error;
        results[index] = refuse(request.downloadSessionId, error);
      }
    }
    const outcomes = heartbeats.length === 0 ? [] : await store.keepAliveMany(heartbeats, caller);
    for (const [position, result] of outcomes.entries()) {
      const { id } = heartbeats[position]!;
      if (clientAddress !== undefined && result.outcome === "renewed") clients?.calledFrom(id, clientAddress);
      results[indexes[position]!] =
        result.outcome === "renewed" ? renewed(id, result) : refuse(id, refusalError(id, result));
    }
    return results;
  };
}

type KeepAliveFields = Pick<KeepAliveRequest, "downloadSessionId" | "progress">;

/** @throws ServiceError when the id is not an identifier */
function readHeartbeat({ downloadSessionId, progress }: KeepAliveFields) {
  return {
    id: identifier(downloadSessionId, "download_session_id"),
    // An int64 beyond 2^53 loses digits here, but stays out of range.
    progress: progress === undefined ? undefined : Number(progress),
  };
}

/**
 * Derives the same id from the same caller and token, so that a repeated creation finds its session. JSON separates the
 * two unambiguously for every name of a principal.
 */
function idFromToken(caller: Caller, token: string): string {
  return nameBasedUuid(JSON.stringify([caller.principal, token.toLowerCase()]), tokenNamespace);
}

/** The error for a refusal of the store. */
export function refusalError(id: string, refusal: Refusal): ServiceError {
  switch (refusal.outcome) {
    case "not_found":
      return new ServiceError("downlease.session.not_found", [id]);
    case "not_active":
      return new ServiceError("downlease.session.not_active", [id, refusal.state]);
    case "invalid_progress":
      return new ServiceError("downlease.argument.progress", [id]);
  }
}

/** The states as messages have them. */
export const modelStates = {
  ACTIVE: DownloadSessionModel_State.ACTIVE,
  CANCELED: DownloadSessionModel_State.CANCELED,
  ERROR: DownloadSessionModel_State.ERROR,
} as const satisfies Record<SessionState, DownloadSessionModel_State>;

function modelOf(session: Session): MessageShape<typeof DownloadSessionModelSchema> {
  return create(DownloadSessionModelSchema, {
    id: session.id,
    libraryItemId: session.libraryItemId,
    libraryItemContentVersion: session.contentVersion,
    clientProgress: BigInt(session.progress),
    state: modelStates[session.state],
    expirationTime: timestampFromMs(session.expiresAt),
    ...(session.state === "ERROR" && {
      errorMessage: {
        id: "downlease.session.client_failed",
        defaultMessage: session.errorMessage || textOf("downlease.session.client_failed", []),
      },
    }),
  });
}
