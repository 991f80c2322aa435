# Completion of downlease for PowerShell. In $PROFILE:  downlease completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName downlease -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements |
        Where-Object { $_.Extent.StartOffset -lt $cursorPosition } |
        Select-Object -Skip 1 |
        ForEach-Object { $_.Extent.Text })
    if ($wordToComplete -eq '') {
        # Older releases drop an empty argument of a program unless it is quoted once more.
        $isOld = $PSVersionTable.PSVersion -lt [version]'7.3' -or "$PSNativeCommandArgumentPassing" -eq 'Legacy'
        $words += $(if ($isOld) { '""' } else { '' })
    }
    # Text from a server is never evaluated or expanded.
    foreach ($line in @(& downlease complete -- @words 2>$null)) {
        if ($line -match '^:\d') { continue }
        $value, $description = $line -split "`t", 2
        if (-not $value.StartsWith($wordToComplete)) { continue }
        if (-not $description) { $description = $value }
        [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $description)
    }
}
