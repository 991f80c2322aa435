import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Input, Label, Radio, RadioGroup, TextField } from "react-aria-components";
import { Ending } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { Confirm } from "../parts/confirm.tsx";
import { Problem } from "../parts/problem.tsx";
import { type EndResult, endAsOperator, endOwn } from "./end-sessions.ts";

const endings = [
  {
    value: Ending.CANCEL,
    title: "Cancel",
    meaning: "As their owners cancel them; they stay readable for a while.",
  },
  {
    value: Ending.FAIL,
    title: "Fail",
    meaning: "As if their clients had failed, with a text that the owners read.",
  },
  { value: Ending.DELETE, title: "Delete", meaning: "They vanish at once, in any state." },
] as const;

const reasons: Readonly<Record<string, string>> = {
  not_found: "are gone already",
  not_allowed_in_current_state: "have ended already",
};

/** Ends sessions after it has shown what will happen. */
export function EndSessionsDialog({
  ids,
  isAdmin,
  onClose,
}: {
  readonly ids: readonly string[];
  readonly isAdmin: boolean;
  onClose(isDone: boolean): void;
}) {
  // What is selected when the dialog opens; rows go on changing behind it.
  const [targets] = useState(ids);
  const [ending, setEnding] = useState<Ending>(Ending.CANCEL);
  const [errorMessage, setErrorMessage] = useState("");
  const [count, setCount] = useState(0);
  const end = isAdmin ? endAsOperator : endOwn;
  const preview = useQuery({
    queryKey: ["ending", ending, targets],
    queryFn: () => end({ ids: targets, ending, errorMessage: "preview", isDryRun: true }, () => {}),
    staleTime: 0,
  });
  const run = useMutation({
    mutationFn: () => end({ ids: targets, ending, errorMessage, isDryRun: false }, setCount),
  });
  const isDone = run.data !== undefined;
  return (
    <Confirm
      title={`End ${targets.length.toLocaleString()} ${targets.length === 1 ? "session" : "sessions"}?`}
      action={isDone ? "Close" : "End"}
      isDanger={!isDone}
      isBusy={run.isPending}
      isDisabled={ending === Ending.FAIL && errorMessage.trim() === ""}
      error={run.error}
      onConfirm={() => (isDone ? onClose(true) : run.mutate())}
      onClose={() => onClose(isDone)}
    >
      {!isDone && (
        <>
          <RadioGroup
            value={String(ending)}
            onChange={(value) => setEnding(Number(value) as Ending)}
            isDisabled={run.isPending}
          >
            <Label>How</Label>
            {endings.map(({ value, title, meaning }) => (
              <Radio key={value} value={String(value)}>
                <span className="dot" aria-hidden="true" />
                <span>
                  {title} <span className="fine">{meaning}</span>
                </span>
              </Radio>
            ))}
          </RadioGroup>
          {ending === Ending.FAIL && (
            <TextField value={errorMessage} onChange={setErrorMessage} isRequired maxLength={1000}>
              <Label>What the owners read</Label>
              <Input />
            </TextField>
          )}
          {preview.error !== null && <Problem error={preview.error} />}
          {preview.data !== undefined && <Report result={preview.data} isPreview />}
          <p className="fine">Their downloads are cut.</p>
          {run.isPending && (
            <p role="status">
              {count.toLocaleString()} of {targets.length.toLocaleString()} done
            </p>
          )}
        </>
      )}
      {run.data !== undefined && <Report result={run.data} />}
    </Confirm>
  );
}

function Report({ result, isPreview = false }: { readonly result: EndResult; readonly isPreview?: boolean }) {
  return (
    <div role="status">
      <ul>
        <li>
          {result.ended.toLocaleString()} {isPreview ? "will be ended" : "were ended"}
        </li>
        {Object.entries(result.refused).map(([error, count]) => (
          <li key={error}>
            {count.toLocaleString()} {reasons[error] ?? `are refused: ${error}`}
          </li>
        ))}
      </ul>
    </div>
  );
}
