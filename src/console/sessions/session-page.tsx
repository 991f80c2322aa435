import { useQuery } from "@connectrpc/connect-query";
import { useEffect, useRef, useState } from "react";
import { Button } from "react-aria-components";
import { Link } from "wouter";
import {
  type FileInfo,
  FileService,
  FileInfo_PrepareStatusSchema as PrepareStatusSchema,
} from "../../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { DownloadSessionModel_State as State } from "../../../gen/content/library/item/v1/download_session_pb.ts";
import { AdminService, type SessionInfo } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { useIdentity } from "../login/identity.tsx";
import { formatBytes } from "../parts/bytes.tsx";
import { Countdown } from "../parts/countdown.tsx";
import { EmptyState } from "../parts/empty-state.tsx";
import { Loading } from "../parts/loading.tsx";
import { PageTitle } from "../parts/page-title.tsx";
import { Problem } from "../parts/problem.tsx";
import { Progress } from "../parts/progress.tsx";
import { Table } from "../parts/table.tsx";
import { formatUtc, Time } from "../parts/time.tsx";
import { EndSessionsDialog } from "./end-sessions-dialog.tsx";
import { stateNames, wholeList } from "./session-view.ts";
import { useSessions } from "./use-sessions.ts";
import type { WatchedSession } from "./watched-session.ts";

/** One session, live, without holding its lease. */
export default function SessionPage({ id }: { readonly id: string }) {
  const { identity } = useIdentity();
  const isAdmin = identity.status === "signed in" && identity.isAdmin;
  const { rows, isComplete, error } = useSessions(wholeList, id);
  const session = rows[0];
  const last = useLast(session);
  const history = useHistory(session);
  const [isEnding, setEnding] = useState(false);
  const isGone = isComplete && session === undefined;

  if (error !== undefined) return <Problem error={error} />;
  if (last === undefined) {
    return isGone ? (
      <EmptyState title="There is no such session">
        It has expired or was deleted, or it belongs to somebody else.{" "}
        <Link href="/sessions">All sessions</Link>
      </EmptyState>
    ) : (
      <Loading label="Loading the session" />
    );
  }
  const { info } = last;
  const isActive = !isGone && last.gone === undefined && info.state === State.ACTIVE;
  return (
    <>
      <PageTitle title={`Session of ${info.owner}`}>
        {info.libraryItemName ?? info.libraryItemId} <span className="fine">of {info.owner}</span>
      </PageTitle>
      {isGone && <p className="problem">The session is gone. This is how it was last seen.</p>}
      <Progress label="Progress" percent={Number(info.progress)} />
      <Facts info={info} gone={last.gone} />
      <Button className="danger" isDisabled={isGone} onPress={() => setEnding(true)}>
        End…
      </Button>
      <Files id={id} isEnabled={!isGone && last.gone === undefined} isActive={isActive} />
      <h2>While you watched</h2>
      <ol className="history">
        {history.map(({ key, at, text }) => (
          <li key={key}>
            <time dateTime={at.toISOString()} title={formatUtc(at)}>
              {at.toLocaleTimeString()}
            </time>{" "}
            {text}
          </li>
        ))}
      </ol>
      {isAdmin && <AuditEntries id={id} />}
      {isEnding && <EndSessionsDialog ids={[id]} isAdmin={isAdmin} onClose={() => setEnding(false)} />}
    </>
  );
}

function Facts({ info, gone }: { readonly info: SessionInfo; readonly gone: WatchedSession["gone"] }) {
  return (
    <dl className="facts">
      <dt>State</dt>
      <dd>{gone ?? stateNames[info.state]}</dd>
      {info.errorMessage !== undefined && (
        <>
          <dt>Error</dt>
          <dd>{info.errorMessage}</dd>
        </>
      )}
      <dt>Sent</dt>
      <dd>
        {formatBytes(info.bytesSent)}
        {info.bytesTotal !== undefined && ` of ${formatBytes(info.bytesTotal)}`}
      </dd>
      <dt>Expires in</dt>
      <dd>
        <Countdown time={info.expirationTime} />
      </dd>
      <dt>Last renewed</dt>
      <dd>
        <Time time={info.lastRenewedTime} />
      </dd>
      <dt>Created</dt>
      <dd>
        <Time time={info.createdTime} />
      </dd>
      <dt>Client</dt>
      <dd>{info.clientAddress ?? "–"}</dd>
      <dt>Item</dt>
      <dd>
        <Link href={`/items/${encodeURIComponent(info.libraryItemId)}`}>
          {info.libraryItemName ?? info.libraryItemId}
        </Link>
        , version <code>{info.contentVersion}</code>
      </dd>
      <dt>Id</dt>
      <dd>
        <code>{info.id}</code>
      </dd>
    </dl>
  );
}

/** The files of the session, by a call that leaves the lease as it is. */
function Files({
  id,
  isEnabled,
  isActive,
}: {
  readonly id: string;
  readonly isEnabled: boolean;
  readonly isActive: boolean;
}) {
  const { data } = useQuery(
    FileService.method.inspect,
    { downloadSessionId: id },
    { enabled: isEnabled, refetchInterval: isActive ? 1_000 : false, retry: false },
  );
  if (data === undefined) return null;
  return (
    <Table label="Files" columns={["File", "Status", "Bytes"]}>
      {data.files.map((file) => (
        <tr key={file.name}>
          <th scope="row">{file.name}</th>
          <td title={file.errorMessage?.defaultMessage}>{statusName(file)}</td>
          <td>
            {formatBytes(file.bytesTransferred)} of {formatBytes(file.size ?? 0n)}
          </td>
        </tr>
      ))}
    </Table>
  );
}

function statusName({ status }: FileInfo): string {
  return PrepareStatusSchema.value[status]?.name.replace("PREPARE_STATUS_", "") ?? "";
}

/** What the replica that answers has in its memory of the audit log. */
function AuditEntries({ id }: { readonly id: string }) {
  const { data } = useQuery(
    AdminService.method.listAuditEntries,
    { sessionId: id },
    { refetchInterval: 5_000 },
  );
  if (data === undefined || data.entries.length === 0) return null;
  return (
    <>
      <h2>Audit log</h2>
      <Table label="Audit log" columns={["Time", "Principal", "Operation", "Outcome", "Client"]}>
        {data.entries.map((entry) => (
          <tr key={entry.requestId + entry.operation}>
            <td>
              <Time time={entry.time} />
            </td>
            <td>{entry.principal ?? "–"}</td>
            <td>{entry.operation}</td>
            <td>{entry.outcome}</td>
            <td>{entry.clientAddress}</td>
          </tr>
        ))}
      </Table>
    </>
  );
}

/** The value, or the last one that there was. */
function useLast<T>(value: T | undefined): T | undefined {
  const last = useRef(value);
  if (value !== undefined) last.current = value;
  return last.current;
}

interface Moment {
  readonly key: number;
  readonly at: Date;
  readonly text: string;
}

const maxMoments = 100;

/** What has happened to the session since the page was opened, newest first. */
function useHistory(session: WatchedSession | undefined): readonly Moment[] {
  const [moments, setMoments] = useState<readonly Moment[]>([]);
  const before = useRef<WatchedSession>(undefined);
  useEffect(() => {
    if (session === undefined) return;
    const text = whatChanged(before.current, session);
    before.current = session;
    if (text === undefined) return;
    setMoments((list) => [{ key: performance.now(), at: new Date(), text }, ...list].slice(0, maxMoments));
  }, [session]);
  return moments;
}

function whatChanged(before: WatchedSession | undefined, { info, gone }: WatchedSession): string | undefined {
  if (before === undefined) return `The session is ${stateNames[info.state]} at ${info.progress} %.`;
  if (gone !== undefined && before.gone === undefined)
    return gone === "expired" ? "The session expired." : "The session was deleted.";
  if (info.state !== before.info.state) return `The session is ${stateNames[info.state]} now.`;
  if (info.progress !== before.info.progress) return `Progress ${info.progress} %.`;
  if (info.bytesSent !== before.info.bytesSent) return `${formatBytes(info.bytesSent)} sent.`;
  if (info.expirationTime?.seconds !== before.info.expirationTime?.seconds) return "The lease was renewed.";
  return undefined;
}
