import { create } from "@bufbuild/protobuf";
import {
  EndpointType as EndpointTypeNumber,
  type FileInfo,
  FileService,
  GetResponseSchema,
  InspectResponseSchema,
  ListResponseSchema,
  PrepareResponseSchema,
} from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import type { Call } from "../calls/call.ts";
import { type Operation, operation } from "../calls/pipeline.ts";
import type { SessionClients } from "../calls/session-clients.ts";
import type { ContentSource } from "../domain/content-source.ts";
import { ServiceError } from "../domain/errors.ts";
import {
  isWithheld,
  type Preparation,
  type Preparations,
  type VersionedFile,
} from "../domain/preparation.ts";
import { mayReadStorage } from "../domain/roles.ts";
import type { Caller, Session } from "../domain/session.ts";
import type { EndpointType, SessionFileStore, SessionFiles } from "../domain/session-file-store.ts";
import type { SessionStore } from "../domain/session-store.ts";
import { StoreTime } from "../domain/store-time.ts";
import { identifier } from "./arguments.ts";
import { refusalError } from "./download-session.ts";
import { type FileFailure, failedInfo, preparedInfo, unpreparedInfo, waitingInfo } from "./file-info.ts";
import { turnFor } from "./long-lists.ts";
import { type FileView, fileOf, itemOf } from "./session-item.ts";

const rpc = FileService.method;
const sessionId = (request: { readonly downloadSessionId: string }) => request.downloadSessionId;

/** Returns an absolute URI for downloading a file of an ACTIVE session from this service. */
export type LinkFor = (
  link: { readonly sessionId: string; readonly fileName: string; readonly contentVersion: string },
  call: Call,
) => Promise<string>;

export interface SessionFileParts {
  readonly sessions: Pick<SessionStore, "keepAlive">;
  readonly files: SessionFileStore;
  readonly content: ContentSource;
  readonly preparations: Preparations;
  readonly linkFor: LinkFor;
  /**
   * Milliseconds after its request when a file may be read although its checksums are still being computed; Infinity:
   * no file is given out unverified. It may change.
   */
  readonly unverifiedAfterMs: () => number;
  /** Follows the clients that renew sessions. */
  readonly clients?: Pick<SessionClients, "called"> | undefined;
}

/** The operations of `com.vmware.content.library.item.downloadsession.file`. */
export function sessionFileOperations(parts: SessionFileParts): Operation[] {
  const { sessions, files, content, preparations, clients } = parts;
  const describe = fileDescriber(parts);
  const list = fileLister(parts);
  return [
    operation({
      method: rpc.list,
      sessionId,
      run: async (request, caller, call) =>
        create(ListResponseSchema, await list(request, true, caller, call)),
    }),
    operation({
      method: rpc.inspect,
      sessionId,
      run: async (request, caller, call) =>
        create(InspectResponseSchema, await list(request, false, caller, call)),
    }),
    operation({
      method: rpc.prepare,
      changes: true,
      sessionId,
      auditDetails: ({ fileName }) => ({ file_name: fileName }),
      async run(request, caller, call) {
        const time = new StoreTime();
        const id = identifier(request.downloadSessionId, "download_session_id");
        const sessionFiles = requireSession(id, await time.wait(files.files(id, caller)));
        const { session } = sessionFiles;
        const isDirect = request.endpointType === EndpointTypeNumber.DIRECT;
        if (isDirect && !mayReadStorage(caller)) throw new ServiceError("downlease.storage.role");
        const { state } = session;
        if (state !== "ACTIVE") throw refusalError(id, { outcome: "not_active", state });
        const file = fileOf(await itemOf(sessionFiles, content), request.fileName);
        const endpointType = endpointTypeOf(request.endpointType);
        // Before anything is stored: a refusal changes nothing.
        if (isDirect && file.source !== undefined && !(await directUri(content, session, file))) {
          throw new ServiceError("downlease.storage.none", [file.name]);
        }
        const renewal = await time.wait(files.request(id, caller, file.name, endpointType));
        if (renewal.outcome !== "renewed") throw refusalError(id, renewal);
        clients?.called(id, call);
        const preparation =
          file.source &&
          (await time.wait(preparations.start(versionedFile(session, file), file.source, true)));
        const requested = { ...file, request: { forMs: 0, bytesSent: 0, ...file.request, endpointType } };
        const viewer = { session: { ...session, expiresAt: renewal.expiresAt }, caller, call, time };
        return create(PrepareResponseSchema, { file: await describe(requested, preparation, viewer) });
      },
    }),
    operation({
      method: rpc.get,
      sessionId,
      async run(request, caller, call) {
        const time = new StoreTime();
        const id = identifier(request.downloadSessionId, "download_session_id");
        const sessionFiles = requireSession(id, await time.wait(files.files(id, caller)));
        const file = fileOf(await itemOf(sessionFiles, content), request.fileName);
        const session = await time.wait(renewIfActive(sessions, sessionFiles.session, caller));
        clients?.called(id, call);
        let preparation: Preparation | undefined;
        if (file.source !== undefined && file.request !== undefined) {
          const version = versionedFile(session, file);
          // Resumes a preparation whose process has died.
          if (session.state === "ACTIVE") {
            preparation = await time.wait(preparations.start(version, file.source, false));
          } else [preparation] = await time.wait(preparations.find([version]));
        }
        return create(GetResponseSchema, {
          file: await describe(file, preparation, { session, caller, call, time }),
        });
      },
    }),
  ];
}

/** Describes all files of a session; renews its lease when that is asked for. */
function fileLister(parts: SessionFileParts) {
  const { sessions, files, content, preparations, clients } = parts;
  const describe = fileDescriber(parts);
  return async (
    request: { readonly downloadSessionId: string },
    renews: boolean,
    caller: Caller,
    call: Call,
  ) => {
    const time = new StoreTime();
    const id = identifier(request.downloadSessionId, "download_session_id");
    const sessionFiles = requireSession(id, await time.wait(files.files(id, caller)));
    const all = [...(await itemOf(sessionFiles, content)).files.values()];
    await turnFor(all);
    let { session } = sessionFiles;
    if (renews) {
      session = await time.wait(renewIfActive(sessions, session, caller));
      clients?.called(id, call);
    }
    const requested = all.filter((file) => file.source !== undefined && file.request !== undefined);
    const versions = requested.map((file) => versionedFile(session, file));
    const results = await time.wait(preparations.find(versions));
    const preparationOf = new Map(requested.map((file, index) => [file, results[index]]));
    const viewer = { session, caller, call, time };
    const infos = all.map((file) => describe(file, preparationOf.get(file), viewer));
    return { files: await Promise.all(infos) };
  };
}

/** @throws ServiceError `not_found` */
function requireSession(id: string, files: SessionFiles | undefined): SessionFiles {
  if (files === undefined) throw new ServiceError("downlease.session.not_found", [id]);
  return files;
}

/**
 * Renews the lease of an ACTIVE session. A session that is not ACTIVE, or has just ended, is returned as it is.
 *
 * @throws ServiceError `not_found`
 */
async function renewIfActive(
  sessions: SessionFileParts["sessions"],
  session: Session,
  caller: Caller,
): Promise<Session> {
  if (session.state !== "ACTIVE") return session;
  const result = await sessions.keepAlive(session.id, caller);
  if (result.outcome === "renewed") return { ...session, expiresAt: result.expiresAt };
  if (result.outcome === "not_active") return { ...session, state: result.state };
  throw refusalError(session.id, result);
}

/** @throws ServiceError `invalid_argument` */
function endpointTypeOf(type: EndpointTypeNumber | undefined): EndpointType {
  switch (type) {
    case undefined:
    case EndpointTypeNumber.UNSPECIFIED:
    case EndpointTypeNumber.HTTPS:
      return "HTTPS";
    case EndpointTypeNumber.DIRECT:
      return "DIRECT";
    default:
      throw new ServiceError("downlease.argument.type", ["endpoint_type", "one of HTTPS, DIRECT"]);
  }
}

/** For whom a file is described. */
interface Viewer {
  readonly caller: Caller;
  readonly call: Call;
  readonly time: StoreTime;
  /** The session after the call. */
  readonly session: Session;
}

type DescribeFile = (
  file: FileView,
  preparation: Preparation | undefined,
  viewer: Viewer,
) => Promise<FileInfo>;

/** Describes how far a file is, and where to read it from when it may be read. */
function fileDescriber({ content, linkFor, unverifiedAfterMs }: SessionFileParts): DescribeFile {
  /** @param endpointType the endpoint type of the last request */
  const endpoint = async (
    file: FileView,
    endpointType: EndpointType,
    viewer: Viewer,
  ): Promise<string | FileFailure> => {
    const { session, caller, call, time } = viewer;
    if (endpointType === "HTTPS") {
      const { id: sessionId, contentVersion } = session;
      return time.wait(linkFor({ sessionId, fileName: file.name, contentVersion }, call));
    }
    // Another caller may have requested the file, and roles may have been taken away since.
    if (!mayReadStorage(caller)) return { id: "downlease.storage.role", args: [] };
    return (await directUri(content, session, file)) ?? { id: "downlease.storage.none", args: [file.name] };
  };

  return async (file, preparation, viewer) => {
    const { session } = viewer;
    const { source, request } = file;
    if (source === undefined)
      return failedInfo(file, { id: "downlease.file.changed", args: [session.libraryItemId] });
    if (request === undefined || preparation === undefined) return unpreparedInfo(file);
    if (preparation.status === "ERROR")
      return failedInfo(file, { id: preparation.messageId, args: preparation.args });
    const isActive = session.state === "ACTIVE";
    const digests = preparation.status === "PREPARED" ? preparation.digests : undefined;
    const isEarly = isActive && request.forMs >= unverifiedAfterMs() && !isWithheld(preparation);
    if (digests === undefined && !isEarly) return waitingInfo(file, preparation);
    if (!isActive) return preparedInfo(file, digests, undefined);
    const uri = await endpoint(file, request.endpointType, viewer);
    return typeof uri === "string" ? preparedInfo(file, digests, uri) : failedInfo(file, uri);
  };
}

/** A URI on the storage itself that is valid no longer than the lease; undefined when there is none. */
function directUri(content: ContentSource, session: Session, file: FileView): Promise<string | undefined> {
  const { libraryItemId, contentVersion, expiresAt } = session;
  const lifetimeMs = Math.max(0, expiresAt - Date.now());
  return Promise.resolve(content.directUri?.(libraryItemId, file.name, contentVersion, lifetimeMs));
}

function versionedFile(
  { libraryItemId: itemId, contentVersion }: Session,
  { name }: FileView,
): VersionedFile {
  return { itemId, contentVersion, fileName: name };
}
