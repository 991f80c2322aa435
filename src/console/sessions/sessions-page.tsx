import { useMemo, useState } from "react";
import { Button, Input, Label, SearchField } from "react-aria-components";
import { useSearchParams } from "wouter";
import { DownloadSessionModel_State as State } from "../../../gen/content/library/item/v1/download_session_pb.ts";
import { useIdentity } from "../login/identity.tsx";
import { Choice } from "../parts/choice.tsx";
import { EmptyState } from "../parts/empty-state.tsx";
import { Loading } from "../parts/loading.tsx";
import { PageTitle } from "../parts/page-title.tsx";
import { Problem } from "../parts/problem.tsx";
import { EndSessionsDialog } from "./end-sessions-dialog.tsx";
import { SessionTable } from "./session-table.tsx";
import "./sessions.css";
import { type ListView, readListView, stateNames, writeListView } from "./session-view.ts";
import { useSessions } from "./use-sessions.ts";

const shownStates = [State.ACTIVE, State.CANCELED, State.ERROR];
const stateOptions = {
  all: "all",
  ...Object.fromEntries(shownStates.map((state) => [stateNames[state], stateNames[state]])),
};

/** Download sessions, live: those of everybody for an operator, else those of the user. */
export default function SessionsPage() {
  const { identity } = useIdentity();
  const isAdmin = identity.status === "signed in" && identity.isAdmin;
  const [params, setParams] = useSearchParams();
  const view = useMemo(() => readListView(params), [params]);
  const { rows, count, has, isComplete, isTruncated, error } = useSessions(view);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [isEnding, setEnding] = useState(false);
  const change = (changes: Partial<ListView>) =>
    setParams(writeListView({ ...view, ...changes }), { replace: true });
  const chosen = useMemo(() => [...selected].filter(has), [selected, has]);

  return (
    <div className="sessions">
      <PageTitle title="Sessions" />
      {error !== undefined && <Problem error={error} />}
      <div className="toolbar">
        <SearchField value={view.search} onChange={(search) => change({ search })}>
          <Label>Search by owner, item, id or address</Label>
          <Input />
        </SearchField>
        <Choice
          label="State"
          value={stateNames[view.state ?? State.UNSPECIFIED] || "all"}
          options={stateOptions}
          onChange={(name) => change({ state: shownStates.find((state) => stateNames[state] === name) })}
        />
        <Button className="danger" isDisabled={chosen.length === 0} onPress={() => setEnding(true)}>
          End{chosen.length > 0 && ` ${chosen.length.toLocaleString()}`}…
        </Button>
      </div>
      <p className="fine" role="status">
        {rows.length.toLocaleString()} of {count.toLocaleString()} sessions
        {!isComplete && ", more are being loaded"}
        {isTruncated && "; there are too many to show them all"}
      </p>
      {!isComplete && count === 0 && error === undefined && <Loading label="Loading the sessions" />}
      {isComplete && count === 0 && (
        <EmptyState title="There are no download sessions">
          A session appears here when somebody downloads an item: choose one of the libraries, or run{" "}
          <code>downlease get</code>.
        </EmptyState>
      )}
      {count > 0 && (
        <SessionTable rows={rows} view={view} onView={change} selected={selected} onSelect={setSelected} />
      )}
      {isEnding && (
        <EndSessionsDialog
          ids={chosen}
          isAdmin={isAdmin}
          onClose={(isDone) => {
            setEnding(false);
            if (isDone) setSelected(new Set());
          }}
        />
      )}
    </div>
  );
}
