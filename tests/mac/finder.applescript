-- What tests/mac/run lets Finder, TextEdit and Preview do: osascript finder.applescript ACTION ARGUMENT...
-- It prints what came of it. Each action touches nothing but the files that it is given.
use AppleScript version "2.4"
use framework "Foundation"
use framework "AppKit"
use scripting additions

on run argv
	set action to item 1 of argv
	if action is "volume" then
		-- NetFS, as Finder's own dialog.
		return POSIX path of ((mount volume (item 2 of argv)) as text)
	else if action is "duplicate" then
		return nameOf(duplicated(item 2 of argv))
	else if action is "copy" then
		return nameOf(copied(item 2 of argv, item 3 of argv, false))
	else if action is "replace" then
		return nameOf(copied(item 2 of argv, item 3 of argv, true))
	else if action is "folder" then
		return nameOf(newFolder(item 2 of argv, item 3 of argv))
	else if action is "rename" then
		return nameOf(renamed(item 2 of argv, item 3 of argv))
	else if action is "delete" then
		tell application "Finder" to delete (POSIX file (item 2 of argv) as alias)
		return "deleted"
	else if action is "tag" then
		return tagged(item 2 of argv, item 3 of argv)
	else if action is "icon" then
		return iconed(item 2 of argv, item 3 of argv)
	else if action is "textedit" then
		return savedByTextEdit(item 2 of argv, item 3 of argv)
	else if action is "preview" then
		return savedByPreview(item 2 of argv)
	end if
	error "no such action: " & action
end run

on nameOf(theItem)
	tell application "Finder" to return name of theItem
end nameOf

on duplicated(thePath)
	tell application "Finder" to return duplicate (POSIX file thePath as alias)
end duplicated

on copied(thePath, theFolder, replaces)
	tell application "Finder"
		return duplicate (POSIX file thePath as alias) to (POSIX file theFolder as alias) replacing replaces
	end tell
end copied

on newFolder(theFolder, theName)
	tell application "Finder"
		return make new folder at (POSIX file theFolder as alias) with properties {name:theName}
	end tell
end newFolder

on renamed(thePath, theName)
	tell application "Finder"
		set theItem to (POSIX file thePath as alias)
		set name of theItem to theName
		return theItem
	end tell
end renamed

-- Sets a tag, and reads it back.
on tagged(thePath, theTag)
	set theURL to current application's |NSURL|'s fileURLWithPath:thePath
	set theKey to current application's NSURLTagNamesKey
	set {isSet, theError} to theURL's setResourceValue:{theTag} forKey:theKey |error|:(reference)
	if not (isSet as boolean) then error (theError's localizedDescription() as text)
	set again to current application's |NSURL|'s fileURLWithPath:thePath
	set {isRead, theTags, theError} to again's getResourceValue:(reference) forKey:theKey |error|:(reference)
	if not (isRead as boolean) then error (theError's localizedDescription() as text)
	return (item 1 of (theTags as list)) as text
end tagged

on iconed(thePath, theImage)
	set theIcon to current application's NSImage's alloc()'s initWithContentsOfFile:theImage
	set workspace to current application's NSWorkspace's sharedWorkspace()
	if not ((workspace's setIcon:theIcon forFile:thePath options:0) as boolean) then error "the icon was not set"
	return "set"
end iconed

on savedByTextEdit(thePath, theText)
	set isRunning to application "TextEdit" is running
	set theName to do shell script "basename " & quoted form of thePath
	tell application "TextEdit"
		open (POSIX file thePath as alias)
		repeat 60 times
			if exists document theName then exit repeat
			delay 0.5
		end repeat
		set text of document theName to theText
		save document theName
		close document theName saving no
		if not isRunning and (count of documents) is 0 then quit saving no
	end tell
	return "saved"
end savedByTextEdit

-- Turns a picture, which takes a key: where the terminal may not send keys, macOS says so.
on savedByPreview(thePath)
	set isRunning to application "Preview" is running
	set theName to do shell script "basename " & quoted form of thePath
	tell application "Preview"
		open (POSIX file thePath as alias)
		activate
		repeat 60 times
			if exists document theName then exit repeat
			delay 0.5
		end repeat
	end tell
	tell application "System Events" to tell process "Preview"
		if name of front window does not contain theName then error "another window came in front"
		keystroke "r" using command down
		delay 1
		keystroke "s" using command down
		delay 2
	end tell
	tell application "Preview"
		close document theName saving no
		if not isRunning and (count of documents) is 0 then quit saving no
	end tell
	return "turned and saved"
end savedByPreview
