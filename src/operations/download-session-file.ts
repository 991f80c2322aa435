import { create } from "@bufbuild/protobuf";
import {
  EndpointType as EndpointTypeNumber,
  type FileInfo,
  FileService,
  GetResponseSchema,
  ListResponseSchema,
  PrepareResponseSchema,
} from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import type { Call } from "../calls/call.ts";
import { type Operation, operation } from "../calls/pipeline.ts";
import type { ContentSource } from "../domain/content-source.ts";
import { ServiceError } from "../domain/errors.ts";
import type { Preparation, Preparations, VersionedFile } from "../domain/preparation.ts";
import { mayReadStorage } from "../domain/roles.ts";
import type { Caller, Session } from "../domain/session.ts";
import type { EndpointType, SessionFileStore, SessionFiles } from "../domain/session-file-store.ts";
import type { SessionStore } from "../domain/session-store.ts";
import { identifier } from "./arguments.ts";
import { refused } from "./download-session.ts";
import { type Failure, failedInfo, preparedInfo, unpreparedInfo, waitingInfo } from "./file-info.ts";
import { type FileView, fileOf, itemOf } from "./session-item.ts";

const rpc = FileService.method;
const sessionId = (request: { readonly downloadSessionId: string }) => request.downloadSessionId;

/** Gives an absolute URI by which a file of an ACTIVE session can be read from this service. */
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
}

/** The operations of `com.vmware.content.library.item.downloadsession.file`. */
export function sessionFileOperations(parts: SessionFileParts): Operation[] {
  const { sessions, files, content, preparations } = parts;
  const tell = teller(parts);
  return [
    operation({
      method: rpc.list,
      sessionId,
      async run(request, caller, call) {
        const known = await sessionAndFiles(files, request.downloadSessionId, caller);
        const { session } = known;
        const all = [...(await itemOf(known, content)).files.values()];
        const wanted = all.filter(({ told, asked }) => told !== undefined && asked !== undefined);
        const looks = await preparations.find(wanted.map((file) => versioned(session, file)));
        const looked = new Map(wanted.map((file, index) => [file, looks[index]]));
        const infos = all.map((file) => tell(file, looked.get(file), { session, caller, call }));
        return create(ListResponseSchema, { files: await Promise.all(infos) });
      },
    }),
    operation({
      method: rpc.prepare,
      sessionId,
      async run(request, caller, call) {
        const known = await sessionAndFiles(files, request.downloadSessionId, caller);
        const { session } = known;
        const isDirect = request.endpointType === EndpointTypeNumber.DIRECT;
        if (isDirect && !mayReadStorage(caller)) throw new ServiceError("downlease.storage.role");
        const { id, state } = session;
        if (state !== "ACTIVE") throw refused(id, { outcome: "not_active", state });
        const file = fileOf(await itemOf(known, content), request.fileName);
        const requested = endpointTypeOf(request.endpointType);
        // Before anything is noted: a refusal changes nothing.
        if (isDirect && file.told !== undefined && !(await directUri(content, session, file))) {
          throw new ServiceError("downlease.storage.none", [file.name]);
        }
        const renewal = await files.request(id, caller, file.name, requested);
        if (renewal.outcome !== "renewed") throw refused(id, renewal);
        const preparation =
          file.told && (await preparations.start(versioned(session, file), file.told, true));
        const asked = { requested, bytesSent: file.asked?.bytesSent ?? 0 };
        const { expiresAt } = renewal;
        const reader = { session: { ...session, expiresAt }, caller, call };
        return create(PrepareResponseSchema, { file: await tell({ ...file, asked }, preparation, reader) });
      },
    }),
    operation({
      method: rpc.get,
      sessionId,
      async run(request, caller, call) {
        const known = await sessionAndFiles(files, request.downloadSessionId, caller);
        const file = fileOf(await itemOf(known, content), request.fileName);
        const session = await renewed(sessions, known.session, caller);
        let preparation: Preparation | undefined;
        if (file.told !== undefined && file.asked !== undefined) {
          const wanted = versioned(session, file);
          // A job whose process is gone is taken up again by whoever asks.
          if (session.state === "ACTIVE") preparation = await preparations.start(wanted, file.told, false);
          else [preparation] = await preparations.find([wanted]);
        }
        return create(GetResponseSchema, { file: await tell(file, preparation, { session, caller, call }) });
      },
    }),
  ];
}

/** @throws ServiceError `invalid_argument`, `not_found` */
async function sessionAndFiles(
  store: SessionFileStore,
  sessionId: string,
  caller: Caller,
): Promise<SessionFiles> {
  const id = identifier(sessionId, "download_session_id");
  const known = await store.files(id, caller);
  if (known === undefined) throw new ServiceError("downlease.session.not_found", [id]);
  return known;
}

/**
 * The session with its lease renewed; one that is not ACTIVE, or has just ended, as it is.
 *
 * @throws ServiceError `not_found`
 */
async function renewed(
  sessions: SessionFileParts["sessions"],
  session: Session,
  caller: Caller,
): Promise<Session> {
  if (session.state !== "ACTIVE") return session;
  const result = await sessions.keepAlive(session.id, caller);
  if (result.outcome === "renewed") return { ...session, expiresAt: result.expiresAt };
  if (result.outcome === "not_active") return { ...session, state: result.state };
  throw refused(session.id, result);
}

/** @throws ServiceError `invalid_argument` */
function endpointTypeOf(given: EndpointTypeNumber | undefined): EndpointType {
  switch (given) {
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

/** Who is told of a file. */
interface Reader {
  readonly caller: Caller;
  readonly call: Call;
  /** As it is after the call. */
  readonly session: Session;
}

type Tell = (file: FileView, preparation: Preparation | undefined, reader: Reader) => Promise<FileInfo>;

/** Tells how far a file is, and where to read it from when it may be read. */
function teller({ content, linkFor }: SessionFileParts): Tell {
  /** @param endpointType what was asked for last */
  const endpoint = async (
    file: FileView,
    endpointType: EndpointType,
    reader: Reader,
  ): Promise<string | Failure> => {
    const { session, caller, call } = reader;
    if (endpointType === "HTTPS") {
      const { id: sessionId, contentVersion } = session;
      return linkFor({ sessionId, fileName: file.name, contentVersion }, call);
    }
    // Others than who asked for it may look, and a role may have been taken away.
    if (!mayReadStorage(caller)) return { id: "downlease.storage.role", args: [] };
    return (await directUri(content, session, file)) ?? { id: "downlease.storage.none", args: [file.name] };
  };

  return async (file, preparation, reader) => {
    const { session } = reader;
    const { told, asked } = file;
    if (told === undefined)
      return failedInfo(file, { id: "downlease.file.changed", args: [session.libraryItemId] });
    if (asked === undefined || preparation === undefined) return unpreparedInfo(file);
    switch (preparation.status) {
      case "ERROR":
        return failedInfo(file, { id: preparation.messageId, args: preparation.args });
      case "PREPARED": {
        const { digests } = preparation;
        if (session.state !== "ACTIVE") return preparedInfo(file, digests, undefined);
        const uri = await endpoint(file, asked.requested, reader);
        return typeof uri === "string" ? preparedInfo(file, digests, uri) : failedInfo(file, uri);
      }
      default:
        return waitingInfo(file, preparation);
    }
  };
}

/** A URI on the storage itself that lives no longer than the lease; undefined when there is none. */
function directUri(content: ContentSource, session: Session, file: FileView): Promise<string | undefined> {
  const { libraryItemId, contentVersion, expiresAt } = session;
  const lifetimeMs = Math.max(0, expiresAt - Date.now());
  return Promise.resolve(content.directUri?.(libraryItemId, file.name, contentVersion, lifetimeMs));
}

function versioned({ libraryItemId: itemId, contentVersion }: Session, { name }: FileView): VersionedFile {
  return { itemId, contentVersion, fileName: name };
}
