if sim then
    for i = 1, 3 do
        print(i)
end
